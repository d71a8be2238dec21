"""Adjustments of the stock, and its ledger."""

from functools import partial

import orjson

from stress.consistency.availability import with_available
from stress.consistency.lists import ListQuery
from stress.consistency.products import read_product
from stress.consistency.records import Effect
from stress.consistency.requests import (
    Choices,
    Outcome,
    ReadRequest,
    Requests,
    WriteRequest,
    new_token,
)
from stress.consistency.timelines import Fact, shows
from stress.http_client import Response, json_request


class Stock(Requests):
    """Requests for the stock of products."""

    def reads(self) -> Choices:
        return {self._ledger: 1}

    def writes(self) -> Choices:
        return {self._adjust: 2}

    def _ledger(self) -> ReadRequest:
        product, limit = self.rng.choice(self.resources.products), self.rng.choice([2, 50])
        query = ListQuery(
            "stock_adjustment",
            lambda row: row["product_id"] == product,
            lambda row: -row["id"],
        )
        path = f"/products/{product}/stock-adjustments"
        return self.list_request("ledger", path, {"limit": limit}, query, show=shows)

    def _adjust(self) -> WriteRequest:
        product = self.rng.choice(self.resources.products)
        body = {"delta": self.rng.choice([-9, -3, -1, 1, 2, 8]), "reason": new_token()}
        message = json_request("POST", f"/products/{product}/stock-adjustments", orjson.dumps(body))
        effect = Effect("stock_adjustment", {**body, "product_id": product})
        return WriteRequest("adjustment", message, [effect], partial(_read_adjustment, effect))


def _read_adjustment(effect: Effect, response: Response) -> Outcome:
    if response.status == 409:
        delta = effect.values["delta"]
        return [effect], [fewer_available(effect.values["product_id"], -delta)]
    effects, facts = read_product(response)
    return [effect, *effects], facts


def fewer_available(product: int, units: int) -> Fact:
    """Return that fewer units than these are available, or that the product is archived."""
    few = with_available(lambda values, free: values.get("archived") or free < units)
    return Fact("product", product, few)
