"""Lists of products come from indexes, however many are archived or have been held."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, insert, text

from app.db.engine import autocommit_engine
from app.extensions import db
from inventory.models import HELD, Hold, Product

PRODUCTS = 6_000
HOLDS = 3_000
INDEXES = {
    "name": "ix_product_listed_name",
    "-name": "ix_product_listed_name",
    "price": "ix_product_listed_price",
    "-price": "ix_product_listed_price",
}
START = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
def many_rows(app):
    """Products of which all but the newest are archived, and expired holds of the newest."""
    products = [
        {
            "sku": f"s{number}",
            "name": f"Name {number % 700}",
            "folded": f"name {number % 700}",
            "price": number % 50,
            "stock_level": 9,
            "archived": number < PRODUCTS * 0.9,
        }
        for number in range(PRODUCTS)
    ]
    holds = [
        {
            "product_id": PRODUCTS,
            "quantity": 1,
            "state": HELD,
            "created_at": START,
            "expires_at": START + timedelta(seconds=number),
        }
        for number in range(HOLDS)
    ]
    with app.app_context():
        db.session.execute(insert(Product), products)
        db.session.execute(insert(Hold), holds)
        db.session.commit()
        with autocommit_engine().connect() as connection:
            connection.execute(text("ANALYZE"))


def plan_of(app, client, path):
    """Read ``path``; return the plans of its statements and its first item."""
    executed = []

    def record(_c, _cursor, statement, parameters, *_):
        executed.append((statement, parameters))

    with app.app_context():
        engine = autocommit_engine()
    event.listen(engine, "before_cursor_execute", record)
    response = client.get(path)
    event.remove(engine, "before_cursor_execute", record)
    assert response.status_code == 200
    explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
    with engine.connect() as connection:
        plans = [connection.exec_driver_sql(explain + one, given).all() for one, given in executed]
    return "\n".join(str(row[-1]) for plan in plans for row in plan), response.json


@pytest.mark.usefixtures("many_rows")
def test_each_list_is_read_from_its_index(app, client):
    for sort, index in INDEXES.items():
        for archived in ("true", "false"):
            path = f"/products?sort={sort}&archived={archived}"
            plan, first = plan_of(app, client, path)
            continued, _ = plan_of(app, client, f"{path}&cursor={first['next_cursor']}")
            for each in (plan, continued):
                assert index in each
                assert "ix_hold_live" in each
                assert "Sort" not in each
                assert "TEMP B-TREE" not in each


@pytest.mark.usefixtures("many_rows")
def test_the_first_list_does_not_scan_what_is_archived(app, client):
    plan, _ = plan_of(app, client, "/products")
    assert "ix_product_listed" in plan or "Sort" in plan  # of the few that are not archived
    assert "pk_product" not in plan


@pytest.mark.usefixtures("many_rows")
def test_a_search_for_few_letters_scans_only_what_is_listed(app, client):
    plan, _ = plan_of(app, client, "/products/search?name=e")
    assert "ix_product_listed" in plan
    assert "pk_product" not in plan


@pytest.mark.usefixtures("many_rows")
def test_expired_holds_are_passed_over_by_the_index(app, client):
    plan, shown = plan_of(app, client, f"/products/{PRODUCTS}")
    assert shown["available"] == 9
    assert "expires_at>?" in plan or "expires_at > (InitPlan" in plan
