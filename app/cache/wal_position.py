"""The position in the WAL of PostgreSQL that a replica must have replayed to serve a miss.

Every write invalidates the tag WRITES, as the others of its tags, after its commit. So a version of
WRITES that a reader finds was created after the commit of each write that was acknowledged before,
and a position that the primary is asked for once the version exists lies behind all of them. It is
kept beside the version, for all readers of all processes:

    bookstall:<run_id>:t:writes             a version, created by the first reader
    bookstall:<run_id>:position:<version>   a position asked for when the version existed
"""

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from app.cache.lease import CacheLease
from app.cache.response_cache import ResponseCache
from app.cache.tags import WRITES
from app.db.replica import current_position
from app.redis.client import Connection, RedisUnavailable, full_key


class WalPosition:
    """Finds the position for the misses of one process."""

    def __init__(self, responses: ResponseCache, lease: CacheLease, primary: Engine) -> None:
        self._responses = responses
        self._client = responses.client
        self._lease = lease
        self._primary = primary
        self._known: tuple[bytes, str] | None = None

    def find(self) -> str | None:
        """Return a position behind every write that was acknowledged before this call.

        None if Redis or the primary cannot say.
        """
        known = self._known  # before the version is read: see _stored
        try:
            self._lease.ensure()
            connection = self._client.connection()
            version = self._version(connection)
            if version is None or not self._lease.covered(connection.run_id):
                return None
            if known is not None and known[0] == version:
                return known[1]
            key = full_key(connection.run_id, f"position:{version.hex()}")
            position = None if known is None else self._stored(connection, key)
            if position is None:
                position = current_position(self._primary)
                keep = ("SET", key, position, "EX", 2 * self._responses.ttl)
                self._client.send(connection, [keep])  # a full Redis may refuse it
        except (RedisUnavailable, SQLAlchemyError):
            return None
        self._known = version, position
        return position

    def _version(self, connection: Connection) -> bytes | None:
        """Return the version of WRITES, which is created if Redis has room for it."""
        key = full_key(connection.run_id, f"t:{WRITES}")
        commands = [self._responses.creation(key), ("GET", key)]
        version: bytes | None = self._client.accepted(self._client.send(connection, commands)[1])
        return version

    def _stored(self, connection: Connection, key: str) -> str | None:
        """Return the position that some process has asked for.

        Not for the first miss of this process: what migrations have changed before it started
        invalidates no tag, so the position might lie before them.
        """
        stored: bytes | None = self._client.execute(connection, ("GET", key))
        return None if stored is None else stored.decode()
