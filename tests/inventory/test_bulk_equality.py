"""Random operations have the same results in bulk as one by one: results, products, ledgers."""

from itertools import count

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.api.fields import ID_MAX
from inventory import bulk
from tests.inventory.stock import ledger

NUMBERS = count()
EXISTING = (0, 1, 2)
"""The products that there are before the operations; the last one has units that are held."""
SKUS = st.sampled_from(["p0", "p1", "p2", "new", "other"])
PRICES = st.sampled_from(["1.00", "2.5", 3, "0.001"])
LEVELS = st.sampled_from([0, 1, 5, 2**31 - 1, 2**31])
TARGETS = st.one_of(
    st.fixed_dictionaries({"sku": SKUS}), st.fixed_dictionaries({"id": st.sampled_from(EXISTING)})
)
IF_MATCH = {"if_match": st.sampled_from(["1", "2", "1-1", "2-4"])}
CREATES = st.fixed_dictionaries(
    {"op": st.just("create"), "sku": SKUS, "name": st.sampled_from(["Lamp", "Bookmark"])},
    optional={"price": PRICES, "stock_level": LEVELS},
)
CHANGES = {
    "price": PRICES,
    "stock_level": LEVELS,
    "name": st.sampled_from(["Lamp", "Shelf"]),
    "archived": st.booleans(),
}
UPDATES = st.builds(
    lambda target, rest: {"op": "update", **rest, **target},
    TARGETS,
    st.fixed_dictionaries({}, optional={**CHANGES, **IF_MATCH}),
)
RENAMES = st.builds(
    lambda target, sku, rest: {"op": "update", **rest, "id": target, "sku": sku},
    st.sampled_from(EXISTING),
    SKUS,
    st.fixed_dictionaries({}, optional=CHANGES),
)
ADJUSTMENTS = st.builds(
    lambda target, rest: {"op": "adjust", **rest, **target},
    TARGETS,
    st.fixed_dictionaries(
        {"delta": st.sampled_from([-9, -3, -1, 0, 1, 4, 2**31 - 1])},
        optional={"reason": st.sampled_from([None, "order 42", ""]), **IF_MATCH},
    ),
)
OPERATIONS = st.lists(st.one_of(CREATES, UPDATES, RENAMES, ADJUSTMENTS), min_size=1, max_size=12)
SWAP = [
    {"op": "update", "id": 0, "sku": "other"},
    {"op": "update", "id": 1, "sku": "p0"},
    {"op": "update", "id": 0, "sku": "p1"},
    {"op": "create", "sku": "other", "name": "Lamp", "price": 1},
]


class Shelf:
    """Products whose SKUs and names contain a word of their own, so that they meet no others."""

    def __init__(self, client):
        self.client = client
        self.word = f"shelf-{next(NUMBERS)}."
        self.ids = [self.add(f"p{number}", 5 * number) for number in EXISTING]
        hold = {"quantity": 6, "expires_in": 600_000}
        assert client.post(f"/products/{self.ids[2]}/holds", json=hold).status_code == 201

    def add(self, sku, stock_level):
        body = {"sku": sku, "name": "Lamp", "price": 1, "stock_level": stock_level}
        return self.client.post("/products", json=self.own(body)).json["id"]

    def own(self, operation):
        """Return the values of an operation on the products of this shelf."""
        words = {name: self.word + operation[name] for name in ("sku", "name") if name in operation}
        ids = {"id": self.ids[operation["id"]]} if "id" in operation else {}
        return {**operation, **words, **ids}

    def in_bulk(self, operations, key, **options):
        body = {"operations": [self.own(each) for each in operations], **options}
        headers = {"Idempotency-Key": f"{self.word}-{len(options)}"} if key else {}
        response = self.client.post("/products/bulk", json=body, headers=headers)
        assert response.status_code == 200, response.json
        return [
            (each["status"], self.shown(each["product"]), each["etag"])
            if "product" in each
            else (each["status"], self.problem(each.get("problem")))
            for each in response.json["results"]
        ]

    def alone(self, operation):
        """Perform an operation as a request of its own."""
        values = self.own(operation)
        op, if_match = values.pop("op"), values.pop("if_match", None)
        headers = {"If-Match": f'"{if_match}"'} if if_match else {}
        if op == "create":
            return self.result(self.client.post("/products", json=values))
        product_id = values.pop("id", None) or self.id_of(values.pop("sku"))
        path = f"/products/{product_id}"
        if op == "update":
            return self.result(self.client.patch(path, json=values, headers=headers))
        path = f"{path}/stock-adjustments"
        return self.result(self.client.post(path, json=values, headers=headers))

    def id_of(self, sku):
        return next((each["id"] for each in self.products() if each["sku"] == sku), ID_MAX)

    def result(self, response):
        if response.status_code < 300:
            etag = response.headers["ETag"].strip('"')
            return response.status_code, self.shown(response.json), etag
        return response.status_code, self.problem(response.json)

    def shown(self, product):
        """Return a product without what the two shelves need not have in common."""
        left_out = {"id", "updated_at"}
        shown = {name: value for name, value in product.items() if name not in left_out}
        own = {name: product[name].removeprefix(self.word) for name in ("sku", "name")}
        return {**shown, **own}

    def problem(self, problem):
        if problem is None or problem["status"] == 404:  # which names the product
            return None
        if problem["status"] == 422:
            fields = [error["pointer"].rpartition("/")[2] for error in problem["errors"]]
            return sorted(field for field in fields if field.isalpha() or "_" in field)
        detail = problem["detail"].replace(self.word, "")
        for number, product_id in enumerate(self.ids):
            detail = detail.replace(f"roduct {product_id} ", f"roduct {number} ")
        return detail

    def products(self):
        found = []
        for archived in ("false", "true"):
            path = f"/products/search?name={self.word}&limit=100&archived={archived}"
            found += self.client.get(path).json["items"]
        return sorted(found, key=lambda product: product["sku"])

    def state(self):
        """Return all products, with their ETags and ledgers."""
        state = []
        for product in self.products():
            response = self.client.get(f"/products/{product['id']}")
            assert response.json == product
            entries = ledger(self.client, product["id"])
            state.append((self.shown(product), response.headers["ETag"], entries))
        return state


@given(
    operations=OPERATIONS,
    options=st.tuples(st.sampled_from([1, 2, 1_000]), st.booleans(), st.booleans()),
)
@example(operations=SWAP, options=(1_000, False, True))
@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_bulk_has_the_results_of_single_requests(shared_client, monkeypatch, operations, options):
    chunk, key, dry = options
    monkeypatch.setattr(bulk, "CHUNK", chunk)
    together, apart = Shelf(shared_client), Shelf(shared_client)
    if dry:
        expected = together.in_bulk(operations, key=key, dry_run=True)
    results = together.in_bulk(operations, key=key)
    assert results == [apart.alone(each) for each in operations]
    assert together.state() == apart.state()
    if dry:
        assert [each[0] for each in expected] == [each[0] for each in results]
