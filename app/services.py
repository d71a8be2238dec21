"""The container of the parts of one application, made by app/factory.py."""

from dataclasses import dataclass

from flask import Flask, current_app
from prometheus_client.registry import Collector
from sqlalchemy import Engine

from app.auth.api_keys import ApiKeyCache
from app.auth.policy import AccessPolicy
from app.cache.local_cache import LocalCache
from app.cache.outbox import OutboxPurger
from app.cache.read_through import ReadThrough
from app.cache.self_check import SelfCheck
from app.config import Settings
from app.db.migrations import Migrations
from app.db.snapshots import Snapshots
from app.events.sequencer import Sequencer
from app.metrics.workers import WorkerGauges
from app.ratelimit.limiter import RateLimits
from app.redis.client import RedisClient


@dataclass(slots=True, kw_only=True)
class Services:
    """The parts of one application, in ``app.extensions["bookstall"]``."""

    settings: Settings
    autocommit_engine: Engine
    snapshots: Snapshots
    outbox_purger: OutboxPurger
    sequencer: Sequencer
    redis: RedisClient | None
    cache: ReadThrough | None
    """The read-through cache; None without Redis."""
    local_cache: LocalCache | None
    """The cache in the memory of the process; None with Redis, without SQLite, or if it is off."""
    self_check: SelfCheck | None
    """Compares some hits with the database; None without a cache."""
    api_keys: ApiKeyCache
    rate_limits: RateLimits
    access_policy: AccessPolicy
    migrations: Migrations
    scopes: tuple[str, ...]
    """What an API key can be allowed."""
    worker_gauges: WorkerGauges
    collectors: tuple[Collector, ...] = ()
    """What ``/metrics`` shows beside the metrics of the workers."""
    openapi_document: bytes | None = None
    """Encoded JSON, made when it is first requested: it needs all routes."""


def services_of(app: Flask) -> Services:
    """Return the services of ``app``."""
    services: Services = app.extensions["bookstall"]
    return services


def current_services() -> Services:
    """Return the services of the current application."""
    return services_of(current_app)
