"""The OpenAPI document, /docs and `flask openapi`."""

import json
import re

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

HEADERS_OF_SUCCESS = {"X-Request-ID", "Cache-Status"}


@pytest.fixture(scope="module")
def document(shared_client):
    response = shared_client.get("/openapi.json")
    assert response.mimetype == "application/json"
    return response.json


@pytest.fixture
def operations(document):
    methods = {"get", "put", "post", "delete", "patch"}
    return [
        (f"{method} {path}", operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in methods
    ]


def nodes(node):
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from nodes(child)


def test_the_document_is_valid_openapi_3_1(document):
    assert document["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(document).validate()


def test_every_operation_has_a_unique_id_and_a_description(operations):
    names = [operation["operationId"] for _, operation in operations]
    assert len(set(names)) == len(names) >= 5
    for name, operation in operations:
        assert operation["summary"], name
        assert operation["description"], name


def test_every_tag_is_described_and_used(document, operations):
    described = {tag["name"]: tag["description"] for tag in document["tags"]}
    assert all(described.values())
    assert {tag for _, operation in operations for tag in operation["tags"]} == set(described)
    assert all(len(operation["tags"]) == 1 for _, operation in operations)


def test_every_operation_lists_its_responses(document, operations):
    for name, operation in operations:
        statuses = set(operation["responses"])
        expected = {"406", "422", "500", "503"}
        if "requestBody" in operation:
            expected |= {"400", "413", "415"}
        elif name.startswith("get"):
            expected |= {"200"} if name.endswith("/export") else {"200", "304"}
        expected |= {"404"} if "{" in name else set()
        assert expected <= statuses, name
        success = next(operation["responses"][s] for s in statuses if s.startswith("2"))
        assert success["headers"].keys() >= HEADERS_OF_SUCCESS, name


def test_every_reference_exists_and_every_component_is_used(document):
    used = {node["$ref"] for node in nodes(document) if isinstance(node.get("$ref"), str)}
    components = {
        f"#/components/{kind}/{name}"
        for kind, named in document["components"].items()
        for name in named
    }
    # Operations refer to security schemes by name, without $ref.
    assert used == components - {"#/components/securitySchemes/bearer"}


def test_bounds_are_numbers_and_schemas_have_types(document):
    for node in nodes(document):
        for bound in ("minimum", "maximum", "minLength", "maxLength"):
            if not isinstance(node.get(bound, 0), dict):
                assert isinstance(node.get(bound, 0), (int, float)), node


def test_every_field_has_a_type(document):
    for name, schema in document["components"]["schemas"].items():
        for field, shape in schema["properties"].items():
            assert {"type", "$ref", "allOf"} & shape.keys(), (name, field)


def test_every_pattern_rejects_what_nobody_can_see(document):
    patterns = {node["pattern"] for node in nodes(document) if "pattern" in node}
    assert len(patterns) >= 5
    for invisible in ("\u3164", "\u2800", "\u180e", "\ufe0f", "\U000e0041", " \u00a0\u200b"):
        assert [pattern for pattern in patterns if re.search(pattern, invisible)] == []


def test_query_parameters_are_described_and_never_null(operations):
    for name, operation in operations:
        for parameter in operation.get("parameters", []):
            assert parameter["description"], name
            assert isinstance(parameter["schema"]["type"], str), (name, parameter)


def test_no_schema_name_ends_in_schema(document):
    assert not any(name.endswith("Schema") for name in document["components"]["schemas"])


def test_the_command_prints_the_document_of_the_route(app, document):
    printed = app.test_cli_runner().invoke(args=["openapi"])
    assert printed.exit_code == 0
    assert json.loads(printed.output) == document


def test_the_docs_page_loads_nothing_from_other_hosts(shared_client):
    page = shared_client.get("/docs")
    assert page.mimetype == "text/html"
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    page.close()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/docs/swagger-ui.css", "text/css"),
        ("/docs/swagger-ui-bundle.js", "text/javascript"),
        ("/pages/icon.svg", "image/svg+xml"),
        ("/static/docs.js", "text/javascript"),
    ],
)
def test_every_file_of_the_docs_page_is_served(shared_client, path, kind):
    name = path.removeprefix("/")
    with shared_client.get("/docs") as page:
        assert f'"{name}"' in page.text
    with shared_client.get(path) as response:
        assert (response.status_code, response.mimetype) == (200, kind)
