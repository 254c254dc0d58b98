"""Read Jupyter notebooks."""
