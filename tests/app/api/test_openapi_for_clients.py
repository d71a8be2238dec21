"""What people and code generators take from the OpenAPI document: examples, types, groups."""

import pytest
from jsonschema import Draft202012Validator

from app.commands.prepare import SAMPLE

GROUPS = {
    "Books": {
        "GET /books",
        "POST /books",
        "GET /books/export",
        "GET /books/{book_id}",
        "PATCH /books/{book_id}",
        "DELETE /books/{book_id}",
    },
    "Reviews": {
        "GET /books/{book_id}/reviews",
        "POST /books/{book_id}/reviews",
        "GET /reviews/export",
        "GET /reviews/{review_id}",
        "PATCH /reviews/{review_id}",
        "DELETE /reviews/{review_id}",
    },
    "Products": {
        "GET /products",
        "POST /products",
        "POST /products/bulk",
        "GET /products/export",
        "GET /products/{product_id}",
        "PATCH /products/{product_id}",
        "GET /products/search",
    },
    "Stock": {
        "GET /products/{product_id}/stock-adjustments",
        "POST /products/{product_id}/stock-adjustments",
        "GET /products/{product_id}/stock-adjustments/{adjustment_id}",
        "GET /stock-adjustments/export",
    },
    "Holds": {
        "POST /products/{product_id}/holds",
        "GET /holds/{hold_id}",
        "DELETE /holds/{hold_id}",
        "POST /holds/{hold_id}/commit",
    },
    "Changes": {"GET /changes"},
    "Webhooks": {
        "GET /webhooks",
        "POST /webhooks",
        "GET /webhooks/{webhook_id}",
        "PATCH /webhooks/{webhook_id}",
        "DELETE /webhooks/{webhook_id}",
        "GET /webhooks/{webhook_id}/deliveries",
        "POST /webhooks/{webhook_id}/replay",
        "POST /webhooks/{webhook_id}/rotate",
        "POST /webhooks/{webhook_id}/test",
    },
    "Shop": {"GET /figures"},
}
METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture
def document(client):
    return client.get("/openapi.json").json


@pytest.fixture
def operations(document):
    return {
        f"{method.upper()} {path}": operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


@pytest.fixture
def resolve(document):
    """A function that replaces a reference by the component that it names."""

    def resolved(node):
        while "$ref" in node:
            _, _, kind, name = node["$ref"].split("/")
            node = document["components"][kind][name]
        return node

    return resolved


def content_of(operation):
    return operation["requestBody"]["content"]["application/json"]


def test_every_example_of_a_body_is_accepted_as_it_is(client, document, operations, resolve):
    sent = 0
    # The creations come first, so that the changes find what they change.
    for name in sorted(operations, key=lambda n: (n.startswith("PATCH"), n.count("/"), n)):
        operation = operations[name]
        if "requestBody" not in operation:
            continue
        method, path = name.split()
        content = content_of(operation)
        schema = {**content["schema"], "components": document["components"]}
        Draft202012Validator(schema).validate(content["example"])
        # Every id in a path has an example too.
        item = document["paths"][path]
        for parameter in map(resolve, item.get("parameters", [])):
            path = path.replace(f"{{{parameter['name']}}}", str(parameter["example"]))
        response = client.open(path, method=method, json=content["example"])
        assert response.status_code in {200, 201}, (name, response.json)
        sent += 1
    assert sent == 13


def test_an_adjustment_and_a_change_can_be_tried_many_times(client, operations):
    client.post("/products", json=content_of(operations["POST /products"])["example"])
    for name in ("PATCH /products/{product_id}", "POST /products/{product_id}/stock-adjustments"):
        method, path = name.replace("{product_id}", "1").split()
        for _ in range(3):
            body = content_of(operations[name])["example"]
            assert client.open(path, method=method, json=body).status_code < 300


@pytest.fixture
def sample(app, tmp_path):
    """The sample data, which `make run` loads."""
    for name, key in (("books", "source_id"), ("products", "sku")):
        command = [name, "load", str(SAMPLE / f"{name}.csv"), "--key", key]
        rejects = ["--rejects", str(tmp_path / "rejects.csv")]
        assert app.test_cli_runner().invoke(args=[*command, *rejects]).exit_code == 0


def test_no_example_of_a_creation_is_in_the_sample(sample, client, operations):
    for name in ("POST /books", "POST /products"):
        body = content_of(operations[name])["example"]
        assert client.post(name.split()[1], json=body).status_code == 201


def test_the_proposed_search_finds_something_in_the_sample(sample, client, operations, resolve):
    parameters = map(resolve, operations["GET /products/search"]["parameters"])
    query = {p["name"]: p["example"] for p in parameters if "example" in p}
    assert query.keys() == {"name", "min_price", "max_price"}
    assert client.get("/products/search", query_string=query).json["items"]


def test_a_field_of_a_request_that_need_not_be_sent_has_no_default(document, operations, resolve):
    """openapi-typescript makes a property with a default a required one."""
    found = 0
    for operation in operations.values():
        if "requestBody" in operation:
            schema = resolve(content_of(operation)["schema"])
            assert schema["additionalProperties"] is False
            for name, shape in schema["properties"].items():
                assert "default" not in shape, name
                if name not in schema.get("required", []):
                    found += "Default: " in shape.get("description", "")
    # isbn, published_year, stock_level, atomic, dry_run, two reasons; description, grace
    assert found == 9


def test_every_field_of_a_response_is_required(operations, resolve):
    for name, operation in operations.items():
        for status, response in operation["responses"].items():
            content = response.get("content", {}).get("application/json")
            if status.startswith("2") and content is not None:
                schema = resolve(content["schema"])
                # Only hidden reviews have the field `hidden`.
                optional = {"total"} if "items" in schema["properties"] else {"hidden"}
                optional &= schema["properties"].keys()
                assert schema["properties"].keys() - set(schema["required"]) == optional, name


def test_every_error_with_a_body_is_a_problem(operations, resolve):
    """The types of other bodies would make the errors of a generated client a union."""
    for operation in operations.values():
        for status, response in operation["responses"].items():
            content = resolve(response).get("content", {})
            if status >= "4" and content:
                [schema] = [media["schema"] for media in content.values()]
                assert content.keys() == {"application/problem+json"}
                assert schema == {"$ref": "#/components/schemas/Problem"}


def test_operations_are_grouped_for_people(document, operations):
    groups = {}
    for name, operation in operations.items():
        [tag] = operation["tags"]
        groups.setdefault(tag, set()).add(name)
    assert groups == GROUPS
    assert [tag["name"] for tag in document["tags"]] == list(GROUPS)


def test_no_read_asks_for_a_key_but_those_of_webhooks(make_app, sqlite_database):
    for required in (True, False):
        app = make_app(sqlite_database, require_api_key=required)
        document = app.test_client().get("/openapi.json").json
        for path, item in document["paths"].items():
            is_private = path.startswith("/webhooks")
            if "get" in item:
                asks = [{"bearer": []}] if required and is_private else []
                assert item["get"]["security"] == asks
                assert ("x-scope" in item["get"]) == is_private


@pytest.mark.parametrize(
    "subject",
    [
        "GraphQL",
        "subscription",
        "RFC 9457",
        "ETag",
        "If-Match",
        "If-None-Match",
        "Idempotency-Key",
        "API key",
        "429",
        "next_cursor",
        "/live",
    ],
)
def test_the_description_explains_what_all_routes_share(document, subject):
    assert subject in document["info"]["description"]


def test_operations_that_compare_the_version_declare_if_match(operations, resolve):
    declaring = {
        name
        for name, operation in operations.items()
        for parameter in map(resolve, operation.get("parameters", []))
        if parameter["name"] == "If-Match"
    }
    assert declaring == {
        "PATCH /books/{book_id}",
        "DELETE /books/{book_id}",
        "PATCH /reviews/{review_id}",
        "DELETE /reviews/{review_id}",
        "PATCH /products/{product_id}",
        "POST /products/{product_id}/stock-adjustments",
        "PATCH /webhooks/{webhook_id}",
        "DELETE /webhooks/{webhook_id}",
    }
    assert all("412" in operations[name]["responses"] for name in declaring)
