"""How one Redis is reached: time-outs, a breaker for all, a connection for each thread."""

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.connection import ConnectionInterface
from redis.exceptions import BusyLoadingError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from app.redis.circuit_breaker import Breaker

TIMEOUT_SECONDS = 0.1
Command = Sequence[Any]
log = logging.getLogger(__name__)


WHO = (("INFO", "server"), ("INFO", "replication"))


class RedisAway(Exception):  # noqa: N818 - a state of affairs, handled where it arises
    """Redis cannot be used now, for a reason in one word."""


class Link(NamedTuple):
    """One thread's connection, and the name of the run of the server that it leads to."""

    connection: ConnectionInterface
    run_id: str
    epoch: int


class RedisLink:
    """Asks one Redis; every exchange ends within about TIMEOUT_SECONDS or raises RedisAway.

    Each thread has a connection of its own, which spares a hit the pool's lock.
    ``on_lost`` is called whenever Redis was out of reach: what was believed about the cache
    before has to be proved again.
    """

    def __init__(self, url: str) -> None:
        self.breaker = Breaker()
        self.on_lost: Callable[[], None] = lambda: None
        self._epoch = 0
        self._local = threading.local()
        self.url = url
        # Only to read the URL: the pool counts the connections that it ever made.
        pool = ConnectionPool.from_url(
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._connect = partial(pool.connection_class, **pool.connection_kwargs)

    def link(self) -> Link:
        """Return this thread's link."""
        link: Link | None = getattr(self._local, "link", None)
        if link is not None and link.epoch == self._epoch:
            return link
        return self._new_link()

    def insist(self, exchange: Callable[[], Any]) -> Any:
        """Return what ``exchange`` returns, tried again if only the connection was lost."""
        try:
            return exchange()
        except RedisAway:
            # An old connection may have been closed under us: a new one tells the truth.
            if not self.breaker.closed:
                raise
            return exchange()

    def need(
        self,
        link: Link,
        command: Command,
        also: Sequence[Command] = (),
        seconds: float | None = None,
    ) -> Any:
        """Return the answer to a command that Redis must not refuse.

        ``also`` is sent in the same round trip, and may be refused.
        """
        answer, *others = self.ask(link, [command, *also], seconds)
        for refusal in others:
            if isinstance(refusal, ResponseError):
                log.debug("refused by Redis: %s", refusal)
        if isinstance(answer, ResponseError):
            raise self._away("refused")
        return answer

    def ask(
        self, link: Link, commands: Sequence[Command], seconds: float | None = None
    ) -> list[Any]:
        """Send ``commands`` at once and return their answers, refusals among them as values.

        Redis may take ``seconds`` for each, where they wait for something by themselves.
        """
        connection = link.connection
        try:
            connection.send_packed_command(connection.pack_commands(commands))
            answers = [_answer(connection, seconds) for _ in commands]
        except (RedisTimeoutError, BusyLoadingError) as error:
            self._drop(connection)
            raise self._away(_word(error)) from error
        except (RedisError, OSError) as error:
            # Perhaps only this connection is gone; the next one decides about the breaker.
            self._drop(connection)
            raise RedisAway("reconnecting") from error
        self.breaker.succeeded()
        return answers

    def leave(self) -> None:
        """Close this thread's connection, before the thread ends."""
        link: Link | None = getattr(self._local, "link", None)
        if link is not None:
            self._local.link = None
            link.connection.disconnect()

    def prove(self) -> None:
        """Raise RedisAway unless this is still the same run of the same master."""
        link = self.link()
        try:
            same = _run_id(self.ask(link, WHO)) == link.run_id
        except ResponseError as error:
            self._drop(link.connection)
            raise self._away("refused") from error
        if not same:
            self._drop(link.connection)
            raise RedisAway("reconnecting")

    def _new_link(self) -> Link:
        epoch, connection = self._epoch, self._connect()
        try:
            connection.connect()
            connection.send_packed_command(connection.pack_commands(WHO))
            run_id = _run_id([_answer(connection) for _ in WHO])
        except (RedisError, OSError) as error:
            connection.disconnect()
            raise self._away(_word(error)) from error
        self._local.link = link = Link(connection, run_id, epoch)
        return link

    def _drop(self, connection: ConnectionInterface) -> None:
        # The links of all threads may be dead, and one that was idle would find out too late:
        # in the one try that an open breaker lets through.
        self._epoch += 1
        self._local.link = None
        connection.disconnect()
        self.on_lost()

    def _away(self, reason: str) -> RedisAway:
        self.breaker.failed()
        self.on_lost()
        return RedisAway(reason)


def _answer(connection: ConnectionInterface, seconds: float | None = None) -> Any:
    try:
        if seconds is not None:
            return connection.read_response(timeout=seconds)
        return connection.read_response()
    except ResponseError as refusal:
        return refusal


def _run_id(told: Sequence[Any]) -> str:
    """Name this run of this server as a master: a restart and a promotion each make a new name."""
    pairs = [line.partition(b":") for part in told for line in _lines(part)]
    facts = {name: value.decode("ascii") for name, _, value in pairs}
    if facts.get(b"role") != "master" or not facts.get(b"run_id"):
        raise ResponseError("not a master, or one that does not tell its run_id")
    return f"{facts[b'run_id'][:12]}-{facts.get(b'master_replid', '')[:12]}"


def _lines(part: Any) -> list[bytes]:
    if isinstance(part, ResponseError):
        raise part
    return bytes(part).splitlines()


def _word(error: Exception) -> str:
    return "timeout" if isinstance(error, RedisTimeoutError) else "unreachable"
