"""The contracts read back as OpenAPI 3.1: /openapi.json, /docs and `flask openapi`."""

import re
from http import HTTPStatus
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Blueprint, Flask, Response, current_app, send_from_directory
from marshmallow import Schema
from werkzeug.routing import Rule

from app.api.contract import Contract, contract_of, encode
from app.api.fields import ID_MAX
from app.api.openapi_components import (
    BEARER,
    IDEMPOTENCY_KEY,
    INFO,
    PROBLEM,
    WHY,
    failure,
    guard,
    page_of,
    success_headers,
    tags_of,
)
from app.auth.api_keys import scope_of

bp = Blueprint("openapi", __name__, cli_group=None)
PATH_NAME = re.compile(r"<(?:\w+:)?(\w+)>")
ANY = (400, 401, 404, 406, 414, 422, 429, 500, 503)
FAILURES = {"GET": (304, *ANY), "POST": (*ANY, 403, 409, 413, 415), "PATCH": (*ANY, 403, 413, 415)}
PROTECTION = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"


@bp.get("/openapi.json")
def document() -> Response:
    """Give the description of the API."""
    return Response(written(), mimetype="application/json")


@bp.get("/docs")
def docs() -> Response:
    """Show the description in Swagger UI."""
    page = send_from_directory(Path(__file__).parent.parent / "static", "docs.html")
    page.headers["Content-Security-Policy"] = PROTECTION
    return page


@bp.get("/docs/<path:name>")
def docs_file(name: str) -> Response:
    """Give a file of Swagger UI."""
    folder = Path(str(files("flask_swagger_ui"))) / "dist"
    return send_from_directory(folder, name, max_age=86_400)


@bp.cli.command("openapi")
def show() -> None:
    """Print the OpenAPI document."""
    click.echo(written())


def written() -> bytes:
    """Return the document of the application at hand, made once."""
    made = current_app.extensions.get("bookstall_openapi")
    if made is None:
        made = current_app.extensions["bookstall_openapi"] = encode(describe(current_app))
    return bytes(made)


def describe(app: Flask) -> dict[str, Any]:
    """Read the contract of every route."""
    plugin = MarshmallowPlugin(schema_name_resolver=_name)
    spec = APISpec(
        "Bookstall",
        version("bookstall"),
        "3.1.0",
        plugins=[plugin],
        info=INFO,
        servers=[{"url": "/", "description": "The server that gave this document."}],
        tags=tags_of(app),
        security=[],
    )
    spec.components.schema("Problem", PROBLEM)
    spec.components.security_scheme("bearer", BEARER)
    for status in WHY:
        spec.components.response(HTTPStatus(status).name, failure(status))
    rules = [
        r for r in app.url_map.iter_rules() if hasattr(app.view_functions[r.endpoint], "contract")
    ]
    for rule in sorted(rules, key=lambda rule: rule.rule):
        _add(spec, app, rule)
    found = spec.to_dict()
    _add_links(found["paths"], app, rules)
    _add_rules_of_whole_bodies(found["components"]["schemas"], app, rules)
    return found


def _add_links(paths: dict[str, Any], app: Flask, rules: list[Rule]) -> None:
    """Say of what was made, which operations are about it: they take its id."""
    for rule in rules:
        contract = contract_of(app.view_functions[rule.endpoint])
        if contract.located:
            path, status = PATH_NAME.sub(r"{\1}", rule.rule), str(contract.status.value)
            paths[path]["post"]["responses"][status]["links"] = {
                _id_of(other): {
                    "operationId": _id_of(other),
                    "parameters": dict.fromkeys(other.arguments, "$response.body#/id"),
                }
                for other in rules
                if other.rule.startswith(f"{rule.rule}/<")
            }


def _add_rules_of_whole_bodies(schemas: dict[str, Any], app: Flask, rules: list[Rule]) -> None:
    """Add what a schema says beside its fields."""
    for rule in rules:
        body = contract_of(app.view_functions[rule.endpoint]).body
        if body is not None:
            schemas[_name(body)] |= getattr(body, "described", {})


def _id_of(rule: Rule) -> str:
    return str(rule.endpoint).replace(".", "_")


def _name(schema: Any) -> str:
    kind = schema if isinstance(schema, type) else type(schema)
    return kind.__name__.removesuffix("Schema")


def _add(spec: APISpec, app: Flask, rule: Rule) -> None:
    view = app.view_functions[rule.endpoint]
    path = PATH_NAME.sub(r"{\1}", rule.rule)
    operations = {
        method.lower(): _operation(view, rule, method)
        | guard(scope_of(view), method, app.config["REQUIRE_API_KEY"])
        for method in sorted((rule.methods or set()) & FAILURES.keys())
    }
    spec.path(path, operations=operations, parameters=_path_parameters(rule))


def _path_parameters(rule: Rule) -> list[dict[str, Any]]:
    integer = {"type": "integer", "minimum": 1, "maximum": ID_MAX}
    return [
        {"name": name, "in": "path", "required": True, "schema": integer}
        for name in sorted(rule.arguments)
    ]


def _operation(view: Any, rule: Rule, method: str) -> dict[str, Any]:
    contract = contract_of(view)
    summary, _, description = (view.__doc__ or "").partition("\n")
    operation: dict[str, Any] = {
        "operationId": _id_of(rule),
        "tags": [rule.endpoint.partition(".")[0]],
        "summary": summary,
        "description": " ".join((description or summary).split()),
        "responses": _responses(contract, method),
    }
    if contract.query is not None:
        operation["parameters"] = [{"in": "query", "schema": contract.query}]
    if method == "POST":
        operation.setdefault("parameters", []).append(IDEMPOTENCY_KEY)
    if contract.body is not None:
        operation["requestBody"] = {"required": True, "content": _json(contract.body)}
    return operation


def _responses(contract: Contract, method: str) -> dict[str, Any]:
    schema = page_of(contract.answer) if contract.paged else contract.answer
    success = {
        "description": contract.status.phrase,
        "content": _json(schema),
        "headers": success_headers(contract, method),
    }
    failures = {*FAILURES[method], *contract.failures}
    return {
        str(contract.status.value): success,
        **{str(int(status)): HTTPStatus(status).name for status in sorted(failures)},
    }


def _json(schema: type[Schema] | dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
