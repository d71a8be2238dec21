"""Ask Redis Sentinels which server is the master now."""

import time
from collections.abc import Mapping
from typing import Any

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from app.parsers import Address, SentinelUrl

SEARCH_SECONDS = 0.2
"""After this no further Sentinel is asked. The next search begins with those that were not."""


class Sentinels:
    """The Sentinels of one master, the one that answered last first; threads share it.

    ``limits`` are options of redis-py, such as time limits, for the connections to Sentinels.
    """

    def __init__(self, url: SentinelUrl, limits: Mapping[str, Any]) -> None:
        self._url = url
        self._limits = limits
        self._addresses = url.sentinels

    def master(self) -> Address:
        """Return the address of the master; raise RedisError if no Sentinel tells it in time."""
        end = time.monotonic() + SEARCH_SECONDS
        cause: RedisError | None = None
        for address in self._addresses:
            if time.monotonic() >= end:
                break
            try:
                found = self._ask(address)
            except RedisError as error:
                cause = error
            else:
                if found is not None:
                    return found
            self._addresses = (*(a for a in self._addresses if a != address), address)
        raise RedisConnectionError(f"no Sentinel knows the master {self._url.name}") from cause

    def _ask(self, address: Address) -> Address | None:
        # A new connection each time: this happens rarely, and a kept one may be dead.
        url = self._url.url_of_sentinel(address)
        with Redis.from_url(url, decode_responses=True, **self._limits) as sentinel:
            found = sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._url.name)
        return Address(found[0], int(found[1])) if found else None
