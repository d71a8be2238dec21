"""Metrics of the service as a whole, read at each scrape: the same whichever worker responds."""

import logging
from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import version

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, Engine, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from app.cache.outbox import Outbox
from app.db.errors import describe
from app.db.migrations import Migrations
from app.db.types import now
from app.events.models import StoredEvent

MAX_COUNTED = 10_000
"""More rows of the outbox are not counted."""
SCHEMA = text("SELECT version_num FROM alembic_version ORDER BY version_num")
FIRST_ROWS = select(Outbox.id).limit(MAX_COUNTED).subquery()
OUTBOX = select(
    select(func.count()).select_from(FIRST_ROWS).scalar_subquery(),
    select(func.min(Outbox.created_at)).scalar_subquery(),
)
NEXT_EVENT = (
    select(StoredEvent.created_at)
    .where(StoredEvent.position.is_(None))
    .order_by(StoredEvent.id)
    .limit(1)
)
log = logging.getLogger(__name__)


class ServiceMetrics(Collector):
    """Reads the metrics; ``has_redis`` says whether the outbox is to be delivered to a Redis."""

    def __init__(self, engine: Engine, migrations: Migrations, *, has_redis: bool) -> None:
        self._engine = engine
        self._newest = ",".join(sorted(migrations.heads))
        self._has_redis = has_redis

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; only that of the code while the database is unavailable."""
        build = GaugeMetricFamily(
            "bookstall_build_info",
            "The release that runs, and the migration that it needs",
            labels=["version", "migration"],
        )
        build.add_metric([version("bookstall"), self._newest], 1)
        yield build
        try:
            with self._engine.connect() as connection:
                found = list(self._read(connection))
        except SQLAlchemyError as error:
            log.warning("the metrics of the database are missing: %s", describe(error))
        else:
            yield from found

    def _read(self, connection: Connection) -> Iterator[Metric]:
        schema = GaugeMetricFamily(
            "bookstall_schema_info", "The newest migration of the database", labels=["migration"]
        )
        schema.add_metric([",".join(connection.execute(SCHEMA).scalars())], 1)
        yield schema
        since = connection.execute(NEXT_EVENT).scalar_one_or_none()
        yield GaugeMetricFamily(
            "bookstall_event_lag_seconds",
            "Age of the oldest event that no follower can see yet",
            _age(since),
        )
        if self._has_redis:
            rows, oldest = connection.execute(OUTBOX).one()
            description = f"Invalidations to deliver to Redis, counted up to {MAX_COUNTED}"
            yield GaugeMetricFamily("bookstall_outbox_rows", description, rows)
            description = "Age of the oldest invalidation to deliver to Redis"
            yield GaugeMetricFamily("bookstall_outbox_age_seconds", description, _age(oldest))


def _age(since: datetime | None) -> float:
    return 0.0 if since is None else max(0.0, (now() - since).total_seconds())
