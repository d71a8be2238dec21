"""A dataset on disk: CSV files, manifest, lock, verification, aggregate."""
