"""The metrics of webhooks, read from their table at each scrape: any process may deliver."""

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine, Row, select
from sqlalchemy.exc import SQLAlchemyError

from app.db.errors import describe
from app.db.types import now
from app.events import log as events
from app.events.log import LogHead
from app.events.models import StoredEvent
from app.webhooks.models import Webhook

ROWS = select(
    Webhook.id,
    Webhook.types,
    Webhook.enabled,
    Webhook.failed_attempts,
    Webhook.succeeded,
    Webhook.failed,
    Webhook.cursor_log,
    Webhook.cursor_position,
).order_by(Webhook.id)
log = logging.getLogger(__name__)


class WebhookMetrics(Collector):
    """Reads the metrics whenever they are asked for."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of all webhooks; none while the database is unavailable."""
        try:
            yield from _metrics(*self._read())
        except SQLAlchemyError as error:
            log.warning("the metrics of webhooks are missing: %s", describe(error))

    def _read(self) -> tuple[Sequence[Row[*tuple[Any, ...]]], dict[int, float]]:
        with self._engine.connect() as connection:
            rows = connection.execute(ROWS).all()
        enabled = [row for row in rows if row.enabled]
        # Not the head without a reason: to read it may give positions to events.
        head = events.head(self._engine) if enabled else None
        waiting: dict[tuple[Any, ...], datetime | None] = {}
        for row in enabled:
            place = _place(row)
            if head is not None and place not in waiting:
                waiting[place] = self._next_event_at(head, row)
        moment = now()
        lags = {row.id: _seconds(moment, waiting[_place(row)]) for row in enabled}
        return rows, lags

    def _next_event_at(self, head: LogHead, row: Row[*tuple[Any, ...]]) -> datetime | None:
        """Return when the next event of a webhook was written; None if it has got all."""
        if row.cursor_log != head.log or row.cursor_position >= head.position:
            return None
        statement = select(StoredEvent.created_at).where(
            StoredEvent.position > row.cursor_position, StoredEvent.position <= head.position
        )
        if row.types:
            statement = statement.where(StoredEvent.type.in_(row.types))
        with self._engine.connect() as connection:
            first = statement.order_by(StoredEvent.position).limit(1)
            return connection.execute(first).scalar_one_or_none()


def _place(row: Row[*tuple[Any, ...]]) -> tuple[Any, ...]:
    """Return what the next event depends on: many webhooks have it in common."""
    return (row.cursor_log, row.cursor_position, *row.types)


def _seconds(moment: datetime, since: datetime | None) -> float:
    return 0.0 if since is None else max((moment - since).total_seconds(), 0.0)


def _metrics(rows: Sequence[Row[*tuple[Any, ...]]], lags: dict[int, float]) -> Iterator[Metric]:
    lag = GaugeMetricFamily(
        "bookstall_webhook_lag_seconds",
        "Age of the oldest event that an enabled webhook has still to get",
        labels=["webhook"],
    )
    enabled = GaugeMetricFamily(
        "bookstall_webhook_enabled", "1 if events are sent, else 0", labels=["webhook"]
    )
    failing = GaugeMetricFamily(
        "bookstall_webhook_failed_attempts",
        "Failed attempts to send the event that is next",
        labels=["webhook"],
    )
    requests = CounterMetricFamily(
        "bookstall_webhook_requests",
        "Requests to receivers of webhooks",
        labels=["webhook", "outcome"],
    )
    for row in rows:
        number = str(row.id)
        enabled.add_metric([number], row.enabled)
        failing.add_metric([number], row.failed_attempts)
        requests.add_metric([number, "succeeded"], row.succeeded)
        requests.add_metric([number, "failed"], row.failed)
        if row.id in lags:
            lag.add_metric([number], lags[row.id])
    yield from (lag, enabled, failing, requests)
