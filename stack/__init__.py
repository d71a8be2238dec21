"""PostgreSQL and Redis servers from wheels on 127.0.0.1, for tests, benchmarks and `make stack`."""
