"""The application factory: it makes all parts, and is the only module that imports blueprints."""

from importlib import import_module

from flask import Flask
from flask_migrate import cli as migrate_cli
from sqlalchemy import select

from adsfetch.cli import ads
from app import figures, health
from app.api import contract, openapi
from app.api.fields import IdConverter
from app.auth.api_keys import ALL_SCOPES, ApiKeyCache
from app.auth.policy import AccessPolicy
from app.cache.local_cache import make_local_cache
from app.cache.outbox import OutboxPurger
from app.cache.read_through import make_cache
from app.cache.self_check import make_self_check
from app.changes.graphql import Subscription as Changes
from app.changes.routes import bp as changes
from app.commands.changes import changes as changes_command
from app.commands.keys import keys
from app.commands.limits import limits
from app.commands.prepare import SampleFile, prepare_command, report_unavailable_database
from app.config import INSTANCE, InvalidSetting, Settings
from app.db.engine import configure_engine, engine_options
from app.db.migrations import known_migrations
from app.db.slow_queries import SlowQueries
from app.db.snapshots import Snapshots
from app.events.sequencer import Sequencer
from app.extensions import db, migrate
from app.graphql import views as graphql
from app.graphql.schema import compose_schema
from app.http import problems
from app.http.instrumentation import log_fields
from app.http.route_options import body_limits
from app.logging import init_logging
from app.metrics.processes import ProcessMetrics
from app.metrics.service import ServiceMetrics
from app.metrics.workers import WorkerGauges
from app.middleware import HttpMiddleware
from app.ratelimit.limiter import make_rate_limits
from app.redis.client import RedisClient
from app.services import Services
from app.webhooks.commands import webhooks
from app.webhooks.metrics import WebhookMetrics
from app.webhooks.views import bp as webhooks_bp
from bookreview.commands import books, reviews
from bookreview.exports import bp as bookreview_exports
from bookreview.graphql_mutations import Mutation
from bookreview.graphql_schema import Query as BookQueries
from bookreview.graphql_schema import Subscription as ReviewSubscription
from bookreview.models import Book
from bookreview.pages import bp as pages
from bookreview.queries import REVIEW_IDS
from bookreview.views import bp as bookreview
from inventory.commands import products
from inventory.exports import bp as inventory_exports
from inventory.graphql_schema import Query as ProductQueries
from inventory.models import Product
from inventory.views import bp as inventory

SAMPLES = (
    SampleFile("books", books.commands["load"], key="source_id"),
    SampleFile("reviews", reviews.commands["load"], key="source_id"),
    SampleFile("products", products.commands["load"], key="sku"),
)
COMMANDS = (ads, books, reviews, products, keys, limits, changes_command, webhooks)
SCOPES = ("books:write", "reviews:write", "reviews:moderate", "products:write", "webhooks:write")

schema = compose_schema([BookQueries, ProductQueries], [Mutation], [ReviewSubscription, Changes])


def create_app(settings: Settings) -> Flask:
    """Make the service."""
    if not settings.testing:
        init_logging(settings)
    if settings.traces_exporter == "otlp":
        _export_spans()
    app = Flask("app", instance_path=str(INSTANCE))
    app.config.from_mapping(
        MAX_CONTENT_LENGTH=settings.max_body_bytes,
        SQLALCHEMY_DATABASE_URI=settings.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(settings.database_url),
        TESTING=settings.testing,
    )
    app.url_map.converters["id"] = IdConverter
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    db.init_app(app)
    migrate.init_app(app, db, directory=str(INSTANCE.parent / "migrations"))
    services = app.extensions["bookstall"] = _make_services(app, settings)
    problems.init_app(app)
    app.before_request(contract.check_request)
    graphql_bp = graphql.create_blueprint(schema)
    shop = figures.create_blueprint(
        {"books": select(Book.id), "reviews": REVIEW_IDS, "products": select(Product.id)},
        cache_tags=("books", "products:members"),
    )
    apis = (bookreview, bookreview_exports, inventory, inventory_exports, changes)
    for blueprint in (health.bp, openapi.bp, *apis, webhooks_bp, pages, shop, graphql_bp):
        app.register_blueprint(blueprint)
    for command in (*COMMANDS, prepare_command(SAMPLES)):
        app.cli.add_command(command)
        report_unavailable_database(command)
    for command in migrate_cli.db.commands.values():
        report_unavailable_database(command)
    app.config["BODY_LIMITS"] = body_limits(app)
    # Last, as it needs all views.
    app.wsgi_app = HttpMiddleware(app, services)  # type: ignore[method-assign]
    return app


def _export_spans() -> None:
    """Export spans: this imports OpenTelemetry, which is an extra."""
    try:
        spans = import_module("app.http.spans")
    except ModuleNotFoundError:
        reason = "is otlp, for which `pip install '.[otel]'` in a checkout installs OpenTelemetry"
        raise InvalidSetting("OTEL_TRACES_EXPORTER", reason) from None
    spans.install()


def _make_services(app: Flask, settings: Settings) -> Services:
    """Make the parts of ``app``, each from those before it."""
    engine = configure_engine(app)
    redis = RedisClient(settings.redis_url) if settings.redis_url else None
    api_keys = ApiKeyCache(engine)
    rate_limits = make_rate_limits(settings, redis)
    cache = make_cache(app, settings, redis, engine)
    local_cache = None if redis else make_local_cache(settings, engine)
    migrations = known_migrations(app)
    with app.app_context():
        engines = [db.engine, engine]
    if cache is not None and cache.replica is not None:
        engines.append(cache.replica.engine)
    SlowQueries(log_fields).measure(*engines)
    # Not that of the replica: nothing waits for it, and it would hide that this one is exhausted.
    gauges = WorkerGauges(engine.pool, redis.breaker if redis else None)
    if local_cache is not None:
        gauges.watch_memory(local_cache.memory)
    return Services(
        settings=settings,
        autocommit_engine=engine,
        snapshots=Snapshots(settings.database_url),
        outbox_purger=OutboxPurger(engine),
        sequencer=Sequencer(engine, redis, settings.feed_days),
        redis=redis,
        cache=cache,
        local_cache=local_cache,
        self_check=make_self_check(cache, local_cache, engine),
        api_keys=api_keys,
        rate_limits=rate_limits,
        access_policy=AccessPolicy(
            api_keys,
            rate_limits,
            key_required=settings.require_api_key,
            limits_on_trial=settings.rate_limit_trial,
        ),
        migrations=migrations,
        worker_gauges=gauges,
        collectors=(
            ServiceMetrics(engine, migrations, has_redis=redis is not None),
            ProcessMetrics(),
            WebhookMetrics(engine),
        ),
        scopes=(*SCOPES, ALL_SCOPES),
    )
