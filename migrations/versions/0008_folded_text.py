"""Fold titles, authors and product names again, in batches, each in its own transaction.

Revision: 0008, after 0007
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

# The rows have to agree with the searches of the running code, so its own function is used.
from app.text import fold

revision = "0008"
down_revision = "0007"

BATCH_ROWS = 1_000
BEGIN = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "BEGIN"}
BOOK = sa.table("book", *map(sa.column, ("id", "title", "author", "folded")))
PRODUCT = sa.table("product", *map(sa.column, ("id", "name", "folded")))


def upgrade() -> None:
    """Update the rows that differ. An interrupted run is completed by the next one."""
    if op.get_context().as_sql:
        raise RuntimeError("Revision 0008 computes values, which SQL cannot: run it online.")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET lock_timeout = 0")
    refold(BOOK, lambda row: f"{fold(row.title)}\n{fold(row.author)}")
    refold(PRODUCT, lambda row: fold(row.name))


def refold(table: sa.TableClause, form: Callable[[Any], str]) -> None:
    bind = op.get_bind()
    statement = sa.update(table).where(table.c.id == sa.bindparam("row_id"))
    statement = statement.values(folded=sa.bindparam("form"))
    for rows in batches(table):
        changed = [{"row_id": row.id, "form": form(row)} for row in rows if row.folded != form(row)]
        if changed:
            bind.execute(statement, changed)
        # Writers wait for one batch at most.
        bind.exec_driver_sql("COMMIT")
        bind.exec_driver_sql(BEGIN[bind.dialect.name])


def batches(table: sa.TableClause) -> Iterator[Sequence[sa.Row[Any]]]:
    """Yield the rows of ``table`` by id, locked, so that no writer changes them meanwhile."""
    last = 0
    while True:
        following = sa.select(table).where(table.c.id > last).order_by(table.c.id)
        locking = following.limit(BATCH_ROWS).with_for_update(key_share=True)
        rows = op.get_bind().execute(locking).all()
        if not rows:
            return
        yield rows
        last = rows[-1].id


def downgrade() -> None:
    """Leave the forms as they are: a release before this one finds most of them."""
