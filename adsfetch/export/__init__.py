"""Datasets in other forms: Parquet files, Delta tables, and sums over groups of rows."""
