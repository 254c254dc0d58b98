"""Open pictures safely, for whoever reads them or draws on them."""
