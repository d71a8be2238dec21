from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient


@pytest.fixture
def product(client: FlaskClient) -> Callable[..., int]:
    """A factory of products, each with a SKU of its own; returns the id."""
    made = 0

    def make(**fields: Any) -> int:
        nonlocal made
        made += 1
        words = {"sku": f"sku-{made}", "name": "Lamp", "price": "19.99", **fields}
        answer = client.post("/products", json=words)
        assert answer.status_code == 201, answer.json
        return int(answer.json["id"])

    return make
