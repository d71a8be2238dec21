"""Is it alive, can it serve, and how does it do: /healthz, /readyz, /metrics."""

import os
from typing import Any

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Blueprint, Flask, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from sqlalchemy.exc import SQLAlchemyError

from app.cache.response_cache import CacheUnavailable
from app.db.engine import autocommit_engine
from app.extensions import migrate
from app.json import encode
from app.services import current_services

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def alive() -> Response:
    """Tell that this process answers."""
    return _json({"status": "ok"}, 200)


@bp.get("/readyz")
def ready() -> Response:
    """Tell whether the service can do its work; a cache outage only degrades it."""
    checks = {**_database(), "cache": _cache()}
    able = checks["database"] == "ok" and checks["migrations"] == "ok"
    whole = able and checks["cache"] != "away"
    status = "ok" if whole else "degraded" if able else "unavailable"
    answer = _json({"status": status, "checks": checks}, 200 if able else 503)
    if not able:
        answer.headers["Retry-After"] = "2"
    return answer


@bp.get("/metrics")
def metrics() -> Response:
    """Give the figures of all workers, in Prometheus' text format."""
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _json(document: dict[str, Any], status: int) -> Response:
    answer = Response(encode(document), status, mimetype="application/json")
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _database() -> dict[str, str]:
    try:
        with autocommit_engine().connect() as connection:
            present = set(MigrationContext.configure(connection).get_current_heads())
    except SQLAlchemyError:
        return {"database": "away", "migrations": "unknown"}
    wanted = set(current_services().migration_heads)
    return {"database": "ok", "migrations": "ok" if present == wanted else "not at head"}


def _cache() -> str:
    kept = current_services().cache
    if kept is None:
        return "none"
    try:
        kept.check()
    except (CacheUnavailable, SQLAlchemyError):
        return "away"
    return "ok"


def migration_heads(app: Flask) -> list[str]:
    """Read the newest migrations of the code."""
    with app.app_context():
        config = migrate.get_config()
    return ScriptDirectory.from_config(config).get_heads()
