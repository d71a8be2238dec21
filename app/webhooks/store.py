"""What the deliverer reads and writes: its place in the queues, and the log of deliveries.

Each change names what it expects of the row, so that it never undoes what a client has changed
meanwhile, nor what another deliverer did.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Update, bindparam, delete, insert, select, update
from sqlalchemy.orm import Session

from app.db.types import now
from app.extensions import Base
from app.webhooks.models import Webhook, WebhookDelivery

PURGED_AT_ONCE = 1_000
READ_AT_ONCE = 500
WEBHOOKS, DELIVERIES = (
    Base.metadata.tables[model.__tablename__] for model in (Webhook, WebhookDelivery)
)
INSERT = insert(DELIVERIES)
WATCHED = select(Webhook.id, Webhook.version, Webhook.cursor_log, Webhook.enabled, Webhook.test_id)


class Watched(NamedTuple):
    """What tells that a webhook was changed."""

    id: int
    version: int
    log: str
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
            applied = [_write(connection, change) for change in changes]
            _insert(connection, changes)
        return applied

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
    """Change the row; return whether it was as expected. Count a delivery in any case."""
    counted = _counter(change.delivery)
    values = {
        "row_id": change.webhook_id,
        **{f"expected_{name}": value for name, value in change.expected.items()},
        **{f"new_{name}": value for name, value in change.values.items()},
    }
    statement = _update(tuple(change.expected), tuple(change.values), counted)
    if connection.execute(statement, values).rowcount:
        return True
    if counted:
        connection.execute(_update((), (), counted), {"row_id": change.webhook_id})
    return False


# Cached, as to build them takes as long as to execute them.
@lru_cache(maxsize=64)
def _update(expected: tuple[str, ...], new: tuple[str, ...], counted: str | None) -> Update:
    columns = WEBHOOKS.c
    conditions = [columns[name] == bindparam(f"expected_{name}") for name in expected]
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in new}
    if counted:
        values[counted] = columns[counted] + 1
    return update(WEBHOOKS).where(columns.id == bindparam("row_id"), *conditions).values(values)


def _counter(delivery: Mapping[str, Any] | None) -> str | None:
    if delivery is None:
        return None
    return "succeeded" if delivery["error"] is None else "failed"


def _insert(connection: Connection, changes: Sequence[Change]) -> None:
    """Insert the deliveries of ``changes``, but for those whose webhook was deleted."""
    rows = [
        {"webhook_id": change.webhook_id, **change.delivery}
        for change in changes
        if change.delivery is not None
    ]
    if rows:
        ids = {row["webhook_id"] for row in rows}
        # Those that exist were locked by the updates.
        existing = set(connection.scalars(select(WEBHOOKS.c.id).where(WEBHOOKS.c.id.in_(ids))))
        rows = [row for row in rows if row["webhook_id"] in existing]
    if rows:
        connection.execute(INSERT, rows)
