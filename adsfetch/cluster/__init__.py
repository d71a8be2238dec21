"""Fetch the days of a run on a Dask cluster, whose workers share the folder of the data."""
