"""Which run of Redis all processes use for the cache: the database decides.

After a failover an old master may still say that it is the master, to whoever is connected to it.
So a process may use the run that it is connected to only if it has the newest row of this table.
Rows have consecutive ids: a process adds a row after the newest that it has seen, or none if
another process was faster. A row is added when all entries of its run have been invalidated.
docs/design.md says why nothing stale is served then.
"""

import time
from datetime import datetime

from sqlalchemy import ColumnElement, Engine, Row, String, delete, select, update
from sqlalchemy.orm import Mapped, mapped_column

from app.cache.response_cache import ResponseCache
from app.cache.tags import ALL
from app.db.engine import transaction
from app.db.statements import dialect_insert
from app.db.types import UtcDateTime, now
from app.extensions import Base
from app.redis.client import RedisUnavailable

KEPT_RUNS = 100
USE_EVERY_SECONDS = 5.0
UNUSED_SECONDS = 15.0
"""A replaced run is used again if nobody has used the newest one for so long."""


class RunReplaced(RedisUnavailable):
    """This Redis says that it is a master, but all processes use another one."""

    def __init__(self) -> None:
        super().__init__("replaced")


class CacheRun(Base):
    """A run of Redis, used from this row until the next one."""

    __tablename__ = "cache_run"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    run_id: Mapped[str] = mapped_column(String(40))
    uses: Mapped[int] = mapped_column(default=0)
    """Grows while a process uses the run."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


NEWEST = select(CacheRun.id, CacheRun.run_id, CacheRun.uses).order_by(CacheRun.id.desc()).limit(1)
Newest = Row[int, str, int]


def is_newest(run_id: str) -> ColumnElement[bool]:
    """Return the condition that all processes use this run."""
    return NEWEST.with_only_columns(CacheRun.run_id).scalar_subquery() == run_id


class CacheRuns:
    """The runs of Redis as one process sees them."""

    def __init__(self, responses: ResponseCache, engine: Engine) -> None:
        self._responses = responses
        self._engine = engine
        self._next_use_at = 0.0
        self._unused: tuple[int, int, float] = (0, 0, 0.0)
        """The newest row that was seen last, its uses, and since when they are the same."""

    def confirm(self, run_id: str) -> None:
        """Return if all processes use this run; raise RunReplaced if they use another one.

        A run that is new becomes the one that all use. After RunReplaced all threads connect
        again, perhaps to another Redis.
        """
        newest = self._newest()
        if newest is None or (newest.run_id != run_id and self._may_follow(newest, run_id)):
            newest = self._add(run_id, after=newest.id if newest else 0)
        if newest is None or newest.run_id != run_id:
            self._responses.client.reconnect()
            raise RunReplaced

    def record_use(self, run_id: str) -> None:
        """Show other processes from time to time that the run is in use."""
        # SQLite has one host. There a long write would delay this one, and with it all readers.
        if self._engine.dialect.name != "sqlite" and time.monotonic() >= self._next_use_at:
            self._next_use_at = time.monotonic() + USE_EVERY_SECONDS
            newest_id = NEWEST.with_only_columns(CacheRun.id).scalar_subquery()
            statement = update(CacheRun).values(uses=CacheRun.uses + 1)
            with transaction(self._engine) as connection:
                # Readers wait for this, so it must not wait for a synchronous standby that is away.
                connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
                connection.execute(statement.where(CacheRun.id == newest_id, is_newest(run_id)))

    def _newest(self) -> Newest | None:
        with self._engine.connect() as connection:
            return connection.execute(NEWEST).first()

    def _may_follow(self, newest: Newest, run_id: str) -> bool:
        """Return whether ``run_id`` is new, or nobody uses the newest run any more."""
        with self._engine.connect() as connection:
            known = connection.execute(select(CacheRun.id).where(CacheRun.run_id == run_id)).first()
        if known is None:
            return True
        number, uses, since = self._unused
        if (number, uses) != (newest.id, newest.uses):
            self._unused = (newest.id, newest.uses, time.monotonic())
            return False
        return time.monotonic() >= since + UNUSED_SECONDS

    def _add(self, run_id: str, after: int) -> Newest | None:
        """Make ``run_id`` the newest run, unless another process has added one meanwhile."""
        if self._responses.invalidate([ALL]) != run_id:
            raise RedisUnavailable("reconnecting")
        insert = dialect_insert(self._engine.dialect.name, CacheRun)
        row = insert.values(id=after + 1, run_id=run_id)
        with self._engine.connect() as connection:
            connection.execute(row.on_conflict_do_nothing())
            connection.execute(delete(CacheRun).where(CacheRun.id <= after + 1 - KEPT_RUNS))
        return self._newest()
