"""Read CSV, TSV and Parquet."""
