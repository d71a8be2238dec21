"""Liveness, readiness and metrics: /healthz, /readyz, /metrics."""

import hmac
import os
import time
from typing import Any

from alembic.runtime.migration import MigrationContext
from flask import Blueprint, Response, request
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from app.auth.policy import bearer_token
from app.db.engine import autocommit_engine
from app.db.errors import unavailable
from app.db.timeouts import waiting_until
from app.errors import Unauthorized
from app.json import encode
from app.logging import batching_handler
from app.metrics.workers import AllWorkers
from app.redis.client import RedisUnavailable
from app.run_folder import METRICS_VARIABLE
from app.services import current_services

bp = Blueprint("health", __name__)
MAX_SECONDS = 4.0
"""How long a scrape waits for a database that hangs: Prometheus gives up after 10 s."""


@bp.get("/healthz")
def live() -> Response:
    """Respond while this process can serve requests."""
    return _json({"status": "ok"}, 200)


@bp.get("/readyz")
def ready() -> Response:
    """Return whether the service can do its work; a cache outage only degrades it."""
    checks = _check_database()
    can_serve = checks["database"] == "ok" and checks["migrations"] == "ok"
    # The check of the cache reads the database too: its tables may be missing.
    checks["cache"] = _check_cache() if can_serve else "unknown"
    degraded = can_serve and checks["cache"] == "unavailable"
    status = "degraded" if degraded else "ok" if can_serve else "unavailable"
    response = _json({"status": status, "checks": checks}, 200 if can_serve else 503)
    if not can_serve:
        response.headers["Retry-After"] = "2"
    return response


@bp.get("/metrics")
def metrics() -> Response:
    """Return the metrics of all workers in the Prometheus text format; METRICS_TOKEN closes it."""
    services = current_services()
    token = services.settings.metrics_token
    if token is not None:
        _check_token(request.environ.get("HTTP_AUTHORIZATION"), token)
    services.access_policy.complete_minute()
    handler = batching_handler()
    if handler is not None:
        handler.collect()  # this process's requests of the last moment
    services.worker_gauges.update()
    folder = os.environ.get(METRICS_VARIABLE)
    shown = generate_latest(_registry_of(AllWorkers(folder)) if folder else REGISTRY)
    with waiting_until(time.monotonic() + MAX_SECONDS):
        for collector in services.collectors:
            shown += generate_latest(_registry_of(collector))
    return Response(shown, content_type=CONTENT_TYPE_LATEST)


def _registry_of(collector: Collector) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(collector)
    return registry


def _check_token(authorization: str | None, token: str) -> None:
    sent = bearer_token(authorization or "") or ""
    # In constant time, so that the time of a response does not tell how much of a token is right.
    if not hmac.compare_digest(sent.encode(), token.encode()):
        detail = "Send METRICS_TOKEN as Authorization: Bearer."
        raise Unauthorized(detail, presented=authorization is not None)


def _json(document: dict[str, Any], status: int) -> Response:
    response = Response(encode(document), status, mimetype="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response


def _check_database() -> dict[str, str]:
    try:
        with autocommit_engine().connect() as connection:
            applied = MigrationContext.configure(connection).get_current_heads()
    except SQLAlchemyError as error:
        unavailable(error)  # logs it
        return {"database": "unavailable", "migrations": "unknown"}
    complete = current_services().migrations.are_applied(applied)
    return {"database": "ok", "migrations": "ok" if complete else "not at head"}


def _check_cache() -> str:
    cache = current_services().cache
    if cache is None:
        return "none"
    try:
        cache.check()
    except (RedisUnavailable, SQLAlchemyError):
        return "unavailable"
    return "ok"
