"""Read pictures and drawings."""
