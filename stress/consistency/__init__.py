"""Check every response while Redis and workers fail."""
