"""The OpenAPI 3.1 document of all documented routes: /openapi.json, /docs, `flask openapi`."""

import re
from http import HTTPStatus
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import click
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Blueprint, Flask, Response, current_app, send_from_directory
from werkzeug.routing import Rule

from app.api.openapi_components import (
    BEARER,
    DESCRIPTIONS,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    INFO,
    PATH_ID,
    PROBLEM,
    TEXT,
    alternatives,
    body_schemas,
    error_response,
    example_of,
    page_schema,
    security,
    success_headers,
    tags,
)
from app.http.accept import JSON
from app.http.route_options import ResponseContract, RouteOptions, View, options_of
from app.json import encode
from app.services import current_services

bp = Blueprint("openapi", __name__, cli_group=None)
COMMON_FAILURES = (400, 401, 404, 406, 414, 422, 429, 500, 503)
FAILURES = {
    "GET": (304, *COMMON_FAILURES),
    "POST": (*COMMON_FAILURES, 403, 408, 409, 412, 413, 415),
    "PATCH": (*COMMON_FAILURES, 403, 408, 412, 413, 415),
    "DELETE": (*COMMON_FAILURES, 403, 412),
}
CSP = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@bp.get("/openapi.json")
def document() -> Response:
    """Return the OpenAPI document."""
    return Response(openapi_json(), mimetype="application/json")


@bp.get("/docs")
def docs() -> Response:
    """Show the OpenAPI document in Swagger UI."""
    page = current_app.send_static_file("docs.html")
    page.headers["Content-Security-Policy"] = CSP
    return page


@bp.get("/docs/<path:name>")
def docs_file(name: str) -> Response:
    """Return a file of Swagger UI."""
    folder = Path(str(files("flask_swagger_ui"))) / "dist"
    return send_from_directory(folder, name, max_age=86_400)


@bp.cli.command("openapi")
def show() -> None:
    """Print the OpenAPI document."""
    click.echo(openapi_json())


def openapi_json() -> bytes:
    """Return the document of the current application, which is built once."""
    services = current_services()
    if services.openapi_document is None:
        services.openapi_document = encode(build_document(current_app))
    return services.openapi_document


class Route(NamedTuple):
    """A documented route: one with a ``@response``."""

    rule: Rule
    view: View
    options: RouteOptions
    response: ResponseContract

    @property
    def path(self) -> str:
        """The path as OpenAPI writes it."""
        return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", self.rule.rule)

    @property
    def operation_id(self) -> str:
        """The name of the view, which is what generated clients call."""
        return str(self.rule.endpoint).rpartition(".")[2]


def documented_routes(app: Flask) -> list[Route]:
    """Return the documented routes of ``app``, in the order of their paths."""
    routes = []
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        view: Any = app.view_functions[rule.endpoint]
        options = options_of(view)
        if options.response is not None:
            routes.append(Route(rule, view, options, options.response))
    return routes


def build_document(app: Flask) -> dict[str, Any]:
    """Build the document from the options of every documented route."""
    plugin = MarshmallowPlugin(schema_name_resolver=_schema_name)
    spec = APISpec(
        "Bookstall",
        version("bookstall"),
        "3.1.0",
        plugins=[plugin],
        info=INFO,
        servers=[{"url": "/", "description": "The server that returned this document."}],
        tags=tags(app),
        security=[],
    )
    plugin.converter.add_attribute_function(alternatives)  # type: ignore[union-attr]
    spec.components.schema("Problem", PROBLEM)
    if current_services().settings.require_api_key:
        spec.components.security_scheme("bearer", BEARER)
    for status in DESCRIPTIONS:
        spec.components.response(HTTPStatus(status).name, error_response(status))
    routes = documented_routes(app)
    for schema in {route.response.schema: None for route in routes if route.response.streams}:
        spec.components.schema(_schema_name(schema), schema=schema)
    for schema in {route.response.schema: None for route in routes if route.response.paged}:
        if _schema_name(schema) not in spec.components.schemas:
            spec.components.schema(_schema_name(schema), schema=schema)
        spec.components.schema(_page_name(schema), page_schema(_schema_name(schema)))
    for route in routes:
        methods = sorted((route.rule.methods or set()) & FAILURES.keys())
        operations = {method.lower(): _operation(route, method) for method in methods}
        ids = [{**PATH_ID, "name": name} for name in sorted(route.rule.arguments)]
        spec.path(route.path, operations=operations, parameters=ids)
    document = spec.to_dict()
    _add_query_examples(document["paths"])
    _add_links(document["paths"], routes)
    for body in body_schemas({body for route in routes if (body := route.options.body)}):
        _finish_body(document["components"]["schemas"][_schema_name(body)], body)
    return document


def _add_query_examples(paths: dict[str, Any]) -> None:
    """Let Swagger UI propose the first example of a query parameter."""
    for operation in (operation for item in paths.values() for operation in item.values()):
        for parameter in operation.get("parameters", ()) if isinstance(operation, dict) else ():
            if parameter["in"] == "query" and "examples" in parameter["schema"]:
                parameter["example"] = parameter["schema"]["examples"][0]


def _add_links(paths: dict[str, Any], routes: list[Route]) -> None:
    """Link each created resource to the operations that take its id."""
    for route in routes:
        if route.response.location is not None:
            collection, _, _ = route.response.location.partition("{")
            responses = paths[route.path]["post"]["responses"]
            responses[str(route.response.status.value)]["links"] = {
                other.operation_id: {
                    "operationId": other.operation_id,
                    "parameters": dict.fromkeys(other.rule.arguments, "$response.body#/id"),
                }
                for other in routes
                if other.rule.rule.startswith(f"{collection}<") and len(other.rule.arguments) == 1
            }


def _finish_body(component: dict[str, Any], schema: Any) -> None:
    """Add the keywords that a schema class declares beside its fields; describe the defaults.

    Code generators make a property with the keyword ``default`` a required one.
    """
    component |= {"additionalProperties": False, **getattr(schema, "json_schema_keywords", {})}
    for shape in component["properties"].values():
        if "default" in shape:
            default = f"Default: `{encode(shape.pop('default')).decode()}`."
            shape["description"] = " ".join(filter(None, [shape.get("description"), default]))


def _schema_name(schema: Any) -> str:
    kind = schema if isinstance(schema, type) else type(schema)
    return kind.__name__.removesuffix("Schema")


def _page_name(schema: Any) -> str:
    return f"{_schema_name(schema)}Page"


def _operation(route: Route, method: str) -> dict[str, Any]:
    options = route.options
    summary, _, description = (route.view.__doc__ or "").partition("\n")
    operation: dict[str, Any] = {
        "operationId": route.operation_id,
        "tags": [options.tag],
        "summary": summary,
        "description": " ".join((description or summary).split()),
        "responses": _responses(route.response, method),
        **security(options, method),
    }
    if options.query is not None:
        operation["parameters"] = [{"in": "query", "schema": options.query}]
    if method == "POST":
        operation.setdefault("parameters", []).append(IDEMPOTENCY_KEY)
    if options.evaluates_if_match:
        operation.setdefault("parameters", []).append(IF_MATCH)
    if options.body is not None:
        content = {"schema": options.body, "example": example_of(options.body)}
        operation["requestBody"] = {"required": True, "content": {JSON: content}}
    return operation


def _responses(contract: ResponseContract, method: str) -> dict[str, Any]:
    success = {
        "description": contract.status.phrase,
        "headers": success_headers(contract, method),
    }
    if contract.schema is not None:
        schema = _page_name(contract.schema) if contract.paged else contract.schema
        under_asgi = {name: {"schema": TEXT} for name in contract.under_asgi}
        content = _stream(contract) if contract.streams else {JSON: {"schema": schema}}
        success["content"] = {**content, **under_asgi}
    failures = {*FAILURES[method], *contract.failures} - ({304} if contract.streams else set())
    return {
        str(contract.status.value): success,
        **{str(int(status)): HTTPStatus(status).name for status in sorted(failures)},
    }


def _stream(contract: ResponseContract) -> dict[str, Any]:
    """Describe a stream as a text: OpenAPI 3.1 has no words for a sequence of objects."""
    item = f"#/components/schemas/{_schema_name(contract.schema)}"
    text = f"A line for each {_schema_name(contract.schema)}."
    shape = {"type": "string", "description": text}
    content = {"schema": shape, "x-item-schema": {"$ref": item}}
    return dict.fromkeys(contract.streams, content)
