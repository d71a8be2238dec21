"""The statements of bulk requests: each writes any number of rows."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Integer,
    Text,
    bindparam,
    cast,
    func,
    insert,
    literal,
    select,
    type_coerce,
    update,
)

from app.db.engine import dialect_name
from app.db.types import Money, UtcDateTime
from app.extensions import db
from app.json import encode
from app.text import fold
from inventory.models import Product, StockAdjustment
from inventory.rules import ProductState, differences

SKU_LOCK = 1_651_862_387
"""The advisory lock of PostgreSQL for those who write several SKUs; any number of our own."""
PASSING = "\x01"
"""The beginning of a passing SKU: no other SKU contains it."""
ROWS_MAX = 1_000
"""How many rows one UPDATE writes: each statement has to end within the statement timeout."""
PRODUCT: Any = Product.__table__
LEDGER: Any = StockAdjustment.__table__
Change = tuple[ProductState, ProductState]
"""A product before and after it has changed."""


def lock_skus(*, creates: bool, renames: bool) -> None:
    """Let this transaction write several SKUs without a deadlock. Call it before rows are locked.

    A new SKU waits for other transactions that write the same one. Products are inserted in the
    order of their SKUs, but the SKUs of an UPDATE are written in any order, and alone therefore.
    """
    if (creates or renames) and dialect_name() == "postgresql":
        lock = func.pg_advisory_xact_lock if renames else func.pg_advisory_xact_lock_shared
        db.session.execute(select(lock(SKU_LOCK)))


def update_products(changes: Iterable[Change]) -> None:
    """Write changed products: a statement for each set of columns that differ, and ROWS_MAX rows.

    The indexes of other columns need no change then. Raise IntegrityError if an SKU is taken.
    """
    groups = defaultdict(list)
    renamed = []
    for before, after in changes:
        names = tuple(differences(before, after))
        groups[names].append(after)
        if before.sku != after.sku:
            renamed.append((before, after))
    if {before.sku for before, _ in renamed} & {after.sku for _, after in renamed}:
        ids = [after.id for _, after in renamed]
        passing = literal(PASSING) + cast(PRODUCT.c.id, Text)
        db.session.execute(update(PRODUCT).where(PRODUCT.c.id.in_(ids)).values(sku=passing))
    for names, states in groups.items():
        for start in range(0, len(states), ROWS_MAX):
            rows = [_row(state, names) for state in states[start : start + ROWS_MAX]]
            values = {"rows": encode(rows).decode(), "updated_at": states[0].updated_at}
            db.session.execute(_update_statement(dialect_name(), names), values)


def _row(state: ProductState, names: Sequence[str]) -> dict[str, Any]:
    row = {name: getattr(state, name) for name in ("id", "version", *names)}
    if "price" in row:
        row["price"] = Money().process_bind_param(state.price, db.engine.dialect)
    if "name" in row:
        row["folded"] = fold(state.name)
    return row


@lru_cache(maxsize=64)
def _update_statement(dialect: str, names: tuple[str, ...]) -> Any:
    """Return the UPDATE of the products in ``rows``, a JSON array of objects."""
    rows = bindparam("rows", type_=Text)
    is_sqlite = dialect == "sqlite"
    elements = func.json_each(rows) if is_sqlite else func.json_array_elements(cast(rows, JSON))
    row = type_coerce(elements.table_valued("value", name="changed").c.value, JSON)
    written = ("version", *names, *(["folded"] if "name" in names else []))
    values = {name: _typed(row[name], PRODUCT.c[name].type) for name in written}
    values["updated_at"] = bindparam("updated_at", type_=UtcDateTime)
    return update(PRODUCT).where(PRODUCT.c.id == row["id"].as_integer()).values(values)


def _typed(value: Any, kind: Any) -> Any:
    if isinstance(kind, Money):
        return cast(value.as_string(), BigInteger)
    if isinstance(kind, Boolean):
        return value.as_boolean()
    return value.as_integer() if isinstance(kind, Integer) else value.as_string()


def insert_products(products: Sequence[ProductState]) -> dict[str, int]:
    """Insert products in the order of their SKUs; return their ids by SKU.

    Raise IntegrityError if an SKU is taken.
    """
    rows = [
        {**state._asdict(), "folded": fold(state.name)}
        for state in sorted(products, key=lambda state: state.sku)
    ]
    if not rows:
        return {}
    names = [column.name for column in PRODUCT.c if column.name != "id"]
    values = [{name: row[name] for name in names} for row in rows]
    statement = insert(PRODUCT).returning(PRODUCT.c.sku, PRODUCT.c.id)
    return {row.sku: row.id for row in db.session.execute(statement, values)}


def insert_adjustments(entries: Iterable[dict[str, Any]]) -> None:
    """Insert rows of the ledger."""
    if rows := list(entries):
        db.session.execute(insert(LEDGER), rows)
