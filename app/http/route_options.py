"""What the decorators of a view declare about its route, in one typed object per view."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from http import HTTPStatus
from typing import Any

from flask import Flask, Response
from marshmallow import Schema

View = Callable[..., Response]
"""A view function: takes the path arguments and returns a response."""
ATTRIBUTE = "route_options"


@dataclass(frozen=True)
class ResponseContract:
    """What ``@response`` declares: the success response and the statuses specific to the view."""

    status: HTTPStatus
    schema: type[Schema] | None
    """None: the response has no body."""
    paged: bool
    location: str | None
    """The URL of the created object: a format of ``{0}``, the result of the view."""
    version_etag: bool
    failures: frozenset[HTTPStatus]
    streams: tuple[str, ...] = ()
    """The media types of a stream of objects; none: one JSON document."""
    under_asgi: tuple[str, ...] = ()
    """The media types of streams that only app/live responds with, beside the JSON document."""


@dataclass(frozen=True)
class RouteOptions:
    """The options of one view. Each decorator replaces the object and changes one field."""

    response: ResponseContract | None = None
    """None: the route is not part of the documented API."""
    query: type[Schema] | None = None
    body: type[Schema] | None = None
    cache_tags: tuple[str, ...] = ()
    scope: str | None = None
    field_scopes: Mapping[str, str] = field(default_factory=dict)
    """The scopes that some fields of the body need in the place of ``scope``."""
    uncached_scope: str | None = None
    """The scope of the keys whose responses are neither from the cache nor stored in it."""
    is_private: bool = False
    """Whether reads need the scope too, no cache may store a response, and none is stored as it is
    for its Idempotency-Key."""
    tag: str = ""
    """The group of the operation in the OpenAPI document."""
    checks_write_access_itself: bool = False
    evaluates_if_match: bool = False
    no_delete: str = ""
    """Of a view that reads: why what it shows cannot be deleted, for the 405."""
    max_body_bytes: int | None = None
    """How long a body may be; None: MAX_BODY_BYTES."""


DEFAULTS = RouteOptions()


def options_of(view: Callable[..., Any] | None) -> RouteOptions:
    """Return the options of ``view``; the defaults where no decorator declared any."""
    # An attribute, not a registry: functools.wraps hands it on to any further wrapper, so a
    # decorator that knows nothing of these options cannot drop the scope of a view.
    options: RouteOptions = getattr(view, ATTRIBUTE, DEFAULTS)
    return options


def not_stored(view: Callable[..., Response]) -> View:
    """Let no cache store the responses of ``view``."""

    @wraps(view)
    def respond(**arguments: Any) -> Response:
        response = view(**arguments)
        response.headers["Cache-Control"] = "no-store"
        return response

    return respond


def set_options(view: View, **changes: Any) -> View:
    """Change some options of ``view``, and return it."""
    setattr(view, ATTRIBUTE, replace(options_of(view), **changes))
    return view


def body_limit(max_bytes: int) -> Callable[[View], View]:
    """Let bodies of this view have up to ``max_bytes``, whatever MAX_BODY_BYTES is.

    The path of its route must have no arguments.
    """
    return lambda view: set_options(view, max_body_bytes=max_bytes)


def body_limits(app: Flask) -> Mapping[str, int]:
    """Return the paths whose bodies have a limit of their own, with that limit in bytes."""
    options = {
        rule.rule: options_of(app.view_functions[rule.endpoint])
        for rule in app.url_map.iter_rules()
    }
    return {
        path: each.max_body_bytes
        for path, each in options.items()
        if each.max_body_bytes is not None
    }
