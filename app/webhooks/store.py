"""What the deliverer reads and writes: its place in the queues, and the log of deliveries.

Each change names what it expects of the row, so that it never undoes what a client has changed
meanwhile, nor what another deliverer did.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, delete, insert, select, update
from sqlalchemy.orm import Session

from app.db.types import now
from app.webhooks.models import Webhook, WebhookDelivery

PURGED_AT_ONCE = 1_000
READ_AT_ONCE = 500
WEBHOOKS = Webhook.__table__
WATCHED = select(Webhook.id, Webhook.version, Webhook.enabled, Webhook.test_id)


class Watched(NamedTuple):
    """What tells that a webhook was changed."""

    id: int
    version: int
    enabled: bool
    test_id: str | None


class Change(NamedTuple):
    """New values of a webhook that has the expected ones, and perhaps a delivery."""

    webhook_id: int
    expected: Mapping[str, Any]
    values: Mapping[str, Any]
    delivery: Mapping[str, Any] | None = None


class Store:
    """The tables of webhooks. Every method blocks, and raises SQLAlchemyError."""

    def __init__(self, engine: Engine, autocommit_engine: Engine) -> None:
        self._engine = engine
        self._autocommit_engine = autocommit_engine

    def watched(self) -> list[Watched]:
        """Return what can change of every webhook."""
        with self._autocommit_engine.connect() as connection:
            return [Watched(*row) for row in connection.execute(WATCHED)]

    def webhooks(self, ids: Sequence[int]) -> list[Webhook]:
        """Return webhooks, which belong to no session."""
        found: list[Webhook] = []
        with Session(self._autocommit_engine, expire_on_commit=False) as session:
            for begin in range(0, len(ids), READ_AT_ONCE):
                some = ids[begin : begin + READ_AT_ONCE]
                found += session.scalars(select(Webhook).where(Webhook.id.in_(some)))
        return found

    def write(self, changes: Sequence[Change]) -> list[bool]:
        """Make changes in one transaction; return for each whether the row was as expected.

        A delivery is recorded in any case, unless the webhook was deleted.
        """
        with self._engine.begin() as connection:
            return [_write(connection, change) for change in changes]

    def purge(self, keep: timedelta) -> None:
        """Remove the deliveries that are older than ``keep``."""
        old = select(WebhookDelivery.id).where(WebhookDelivery.at < now() - keep)
        some = old.limit(PURGED_AT_ONCE).scalar_subquery()
        removed = PURGED_AT_ONCE
        while removed == PURGED_AT_ONCE:
            with self._autocommit_engine.connect() as connection:
                statement = delete(WebhookDelivery).where(WebhookDelivery.id.in_(some))
                removed = connection.execute(statement).rowcount


def _write(connection: Connection, change: Change) -> bool:
    row = WEBHOOKS.c.id == change.webhook_id
    count = _count(change.delivery)
    expected = [WEBHOOKS.c[name] == value for name, value in change.expected.items()]
    statement = update(Webhook).where(row, *expected).values(**change.values, **count)
    applied = connection.execute(statement).rowcount == 1
    # Either statement locks the row: it cannot be deleted before the delivery is inserted.
    exists = applied or (
        bool(count) and connection.execute(update(Webhook).where(row).values(**count)).rowcount == 1
    )
    if change.delivery is not None and exists:
        values = {"webhook_id": change.webhook_id, **change.delivery}
        connection.execute(insert(WebhookDelivery), values)
    return applied


def _count(delivery: Mapping[str, Any] | None) -> dict[str, Any]:
    if delivery is None:
        return {}
    name = "succeeded" if delivery["error"] is None else "failed"
    return {name: WEBHOOKS.c[name] + 1}
