"""Rate limits: token leases, windows, storage in memory and Redis."""
