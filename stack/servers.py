"""Real PostgreSQL and Redis servers, from wheels, for the tests, the bench and `make stack`."""

from stack.postgres import Postgres
from stack.process import CouldNotStartError
from stack.redis import Redis

__all__ = ["CouldNotStartError", "Postgres", "Redis"]
