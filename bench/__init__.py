"""Benchmarks of the service beside plain services, and under faults."""
