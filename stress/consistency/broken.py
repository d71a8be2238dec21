"""The service with its cache broken on purpose, to show that the judge can see.

BROKEN names what is missing: ``forget`` the invalidation, ``lease`` the look at the outbox,
``run-id`` the distrust of a Redis that comes back with its old memory.
"""

import os
from typing import Any

from app.cache import backend as redis_cache
from app.cache.backend import RedisCache
from app.cache.lease import Lease
from wsgi import app

__all__ = ["app"]


def _nothing(*_: Any) -> None:
    pass


def _always_the_same(_: bytes) -> str:
    return "one"


match os.environ["BROKEN"]:
    case "forget":
        setattr(RedisCache, "forget", _nothing)  # noqa: B010
    case "lease":
        setattr(Lease, "hold", _nothing)  # noqa: B010
    case "run-id":
        setattr(redis_cache, "_run_id", _always_the_same)  # noqa: B010
