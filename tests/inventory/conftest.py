from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from app.extensions import db
from tests.app.events.steps import reader_of_new_events
from tests.app.loading.csv_load import Load, load_command

WRONG_SUMS = """
    SELECT p.id FROM product p LEFT JOIN stock_adjustment a ON a.product_id = p.id
    GROUP BY p.id, p.stock_level HAVING COALESCE(SUM(a.delta), 0) <> p.stock_level"""


@pytest.fixture
def product(client: FlaskClient) -> Callable[..., int]:
    """A factory of products with different SKUs; returns the id."""
    count = 0

    def make(**fields: Any) -> int:
        nonlocal count
        count += 1
        body = {"sku": f"sku-{count}", "name": "Lamp", "price": "19.99", **fields}
        response = client.post("/products", json=body)
        assert response.status_code == 201, response.json
        return int(response.json["id"])

    return make


@pytest.fixture
def added(app: Flask) -> Callable[[], list[tuple[str, str, Any]]]:
    """Return the events since the last call: their types, topics and data."""
    return reader_of_new_events(app)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "products.csv"


@pytest.fixture
def load(app: Flask, path: Path) -> Load:
    """A factory of loads of a file of products with the given content."""
    return load_command(app, "products", path)


@pytest.fixture
def wrong_sums(app: Flask) -> Callable[[], list[int]]:
    """Return the products whose ledger does not add up to their level."""

    def find() -> list[int]:
        with app.app_context():
            return list(db.session.scalars(text(WRONG_SUMS)))

    return find
