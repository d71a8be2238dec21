"""The consistency checker: every response is verified while Redis and workers fail."""
