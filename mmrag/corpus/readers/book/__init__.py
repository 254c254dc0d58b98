"""Read e-books."""
