"""Bulk requests: prices and adjustments of several products at once."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import orjson

from stress.consistency.availability import shows_product
from stress.consistency.history import Values
from stress.consistency.products import next_price
from stress.consistency.records import DRY_RUN, Effect
from stress.consistency.requests import (
    Choices,
    Outcome,
    Requests,
    WriteRequest,
    body_of,
    new_token,
    version_of,
)
from stress.consistency.stock import fewer_available
from stress.consistency.timelines import Fact
from stress.http_client import Response, json_request


class Bulk(Requests):
    """Bulk requests, each with one operation for each of its products."""

    def writes(self) -> Choices:
        return {self._change: 0.5}

    def _change(self) -> WriteRequest:
        products = self.rng.sample(self.resources.products, self.rng.randint(2, 4))
        operations = [self._operation(product) for product in products]
        options = self.rng.choice([{}, {"atomic": True}, {"atomic": True}, {"dry_run": True}])
        body = orjson.dumps({"operations": operations, **options})
        effects = [_effect(operation) for operation in operations]
        kind = DRY_RUN if "dry_run" in options else "bulk"
        read = partial(_read, operations, effects, kind)
        return WriteRequest(kind, json_request("POST", "/products/bulk", body), effects, read)

    def _operation(self, product: int) -> Values:
        if self.rng.random() < 0.4:
            return {"op": "update", "id": product, "price": next_price()}
        delta = self.rng.choice([-9, -3, 2, 8])
        return {"op": "adjust", "id": product, "delta": delta, "reason": new_token()}


def _effect(operation: Values) -> Effect:
    if operation["op"] == "update":
        return Effect("product", {"price": operation["price"]}, operation["id"])
    names = ("delta", "reason")
    adjustment = {name: operation[name] for name in names}
    return Effect("stock_adjustment", {**adjustment, "product_id": operation["id"]})


def _read(
    operations: Sequence[Values], effects: Sequence[Effect], kind: str, response: Response
) -> Outcome:
    body, is_done = body_of(response), response.status == 200 and kind != DRY_RUN
    done: list[Effect] = []
    facts: list[Fact] = []
    for operation, effect, result in zip(operations, effects, body["results"], strict=True):
        if result["status"] == 409:
            facts.append(fewer_available(operation["id"], -operation["delta"]))
        if is_done and "product" in result:
            done += [effect, *_shown(result)]
            facts.append(Fact("product", operation["id"], shows_product(result["product"])))
    return (done if is_done else effects), facts


def _shown(result: Any) -> list[Effect]:
    product = {**result["product"], "version": version_of(result["etag"])}
    del product["available"]
    return [Effect("product", product, product["id"])]
