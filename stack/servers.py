"""The servers that this package can run."""

from stack.postgres import Postgres
from stack.process import CouldNotStartError
from stack.redis import Redis
from stack.standby import Standby

__all__ = ["CouldNotStartError", "Postgres", "Redis", "Standby"]
