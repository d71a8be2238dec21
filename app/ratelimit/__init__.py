"""Rate limits: token leases, the sliding window, and its stores in memory and Redis."""
