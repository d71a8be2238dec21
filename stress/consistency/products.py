"""Reads of products and of lists of them; changes of prices, names, levels and of what is sold."""

import random
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from typing import Any

import orjson

from app.text import fold
from stress.consistency.availability import shows_etag, shows_product, with_available
from stress.consistency.history import Values
from stress.consistency.lists import Descending, ListQuery
from stress.consistency.records import Effect, Read
from stress.consistency.requests import (
    Choices,
    Outcome,
    ReadRequest,
    Requests,
    Resources,
    WriteRequest,
    body_of,
    new_token,
    shown_by,
)
from stress.consistency.timelines import Condition, Fact
from stress.http_client import Response, get, json_request

PRICES = count(1)
"""In cents. No price is set twice, so each one identifies a write."""
SAME_NAME = "and no other"
"""At the end of the names of several products, which are equal sort keys then."""
KEYS: Mapping[str, Callable[[Values], Any]] = {
    "id": lambda values: values["id"],
    "name": lambda values: (fold(values["name"]), values["id"]),
    "-name": lambda values: (Descending(fold(values["name"])), -values["id"]),
    "price": lambda values: (_cents(values["price"]), values["id"]),
    "-price": lambda values: (-_cents(values["price"]), -values["id"]),
}


class Products(Requests):
    """Requests for products."""

    def __init__(self, resources: Resources, rng: random.Random) -> None:
        super().__init__(resources, rng)
        self._etags: dict[int, str] = {}

    def reads(self) -> Choices:
        return {self._get: 2, self._list: 1, self._search: 1}

    def writes(self) -> Choices:
        return {self._reprice: 1, self._rename: 0.6, self._archive: 0.7}

    def _get(self) -> ReadRequest:
        product = self.rng.choice(self.resources.products)
        etag = self._etags.get(product)
        headers = {"If_None_Match": etag} if etag and self.rng.random() < 0.3 else {}
        return ReadRequest(get(f"/products/{product}", **headers), partial(self._read, product))

    def _read(self, product: int, response: Response) -> Read:
        if response.status not in {200, 304}:
            return Read(response, "product")
        self._etags[product] = response.etag
        facts = [Fact("product", product, shows_etag(response.etag))]
        if response.status == 200:
            facts.append(Fact("product", product, shows_product(body_of(response))))
        return Read(response, "product", facts)

    def _list(self) -> ReadRequest:
        parameters = self.usual("products", self._choose_list)
        selects = partial(_is_listed, "archived" in parameters)
        query = ListQuery("product", selects, KEYS[parameters["sort"]])
        return self.list_request("products", "/products", parameters, query, show=shows_product)

    def _choose_list(self) -> Values:
        archived = self.rng.choice([{}, {}, {}, {"archived": "true"}])
        limit = self.rng.choice([1, 2, 100])
        return {"sort": self.rng.choice([*KEYS]), "limit": limit, **archived}

    def _search(self) -> ReadRequest:
        parameters = self.usual("search", self._choose_search)
        query = ListQuery("product", partial(_is_found, parameters), KEYS[parameters["sort"]])
        return self.list_request(
            "search", "/products/search", parameters, query, show=shows_product
        )

    def _choose_search(self) -> Values:
        word = self.resources.word
        name = {"name": self.rng.choice([word, f"{word} {SAME_NAME}"])}
        price = {self.rng.choice(["min_price", "max_price"]): next_price()}
        limit = self.rng.choice([1, 2, 50])
        return {
            "sort": self.rng.choice([*KEYS]),
            "limit": limit,
            **self.rng.choice([name, name, price]),
        }

    def create(self) -> WriteRequest:
        """Return the request that adds a product."""
        sku = new_token()
        body = {"sku": sku, "name": f"{self.resources.word} {sku}", "price": "0.00"}
        message = json_request("POST", "/products", orjson.dumps({**body, "stock_level": 30}))
        return WriteRequest("product", message, [Effect("product", body)], self._read_new)

    def _read_new(self, response: Response) -> Outcome:
        self.resources.products.append(body_of(response)["id"])
        return read_product(response)

    def _reprice(self) -> WriteRequest:
        change: dict[str, Any] = {"price": next_price()}
        if self.rng.random() < 0.3:
            change["stock_level"] = self.rng.randint(0, 60)
        return self._patch("price", change)

    def _rename(self) -> WriteRequest:
        if self.rng.random() < 0.5:
            return self._patch("renamed", {"name": f"{self.resources.word} {new_token()}"})
        name = f"{self.resources.word} {SAME_NAME}"
        return self._patch("renamed", {"name": name, "price": next_price(), "sku": new_token()})

    def _archive(self) -> WriteRequest:
        return self._patch("archived", {"archived": self.rng.random() < 0.4})

    def _patch(self, kind: str, change: Values) -> WriteRequest:
        product = self.rng.choice(self.resources.products)
        etag = self._etags.get(product) if self.rng.random() < 0.3 else None
        headers = {"If_Match": etag} if etag else {}
        path = f"/products/{product}"
        message = json_request("PATCH", path, orjson.dumps(change), **headers)
        effect = Effect("product", change, product)
        return WriteRequest(kind, message, [effect], partial(self._read_change, effect, etag))

    def _read_change(self, effect: Effect, etag: str | None, response: Response) -> Outcome:
        product = effect.row or 0
        if response.status == 412 and etag is not None:
            return [effect], [Fact("product", product, shows_etag(etag, equal=False))]
        if response.status == 409:
            level = effect.values["stock_level"]
            return [effect], [Fact("product", product, _refuses_level(level))]
        self._etags[product] = response.etag
        return read_product(response)


def read_product(response: Response) -> Outcome:
    """Return what the response to a write of a product shows."""
    product = shown_by(response)
    values = {name: value for name, value in product.items() if name != "available"}
    fact = Fact("product", product["id"], shows_product(product))
    return [Effect("product", values, product["id"])], [fact]


def next_price() -> str:
    """Return a price that was not used before."""
    cents = next(PRICES)
    return f"{cents // 100}.{cents % 100:02d}"


def _cents(price: str) -> int:
    return int(price.replace(".", ""))


def _is_listed(archived: bool, values: Values) -> bool:
    return values["archived"] is archived


def _is_found(names: Values, values: Values) -> bool:
    if values["archived"] or fold(names.get("name", "")) not in fold(values["name"]):
        return False
    low, high = names.get("min_price", "0.00"), names.get("max_price", "999999.99")
    return _cents(low) <= _cents(values["price"]) <= _cents(high)


def _refuses_level(level: int) -> Condition:
    return with_available(
        lambda values, free: values["archived"] or values["stock_level"] - free > level
    )
