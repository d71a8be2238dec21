"""The Redis client and its circuit breaker."""
