"""The application factory, the only module that imports blueprints."""

from flask import Flask

from adsfetch.cli import ads
from app import commands as preparing
from app import health
from app.api import contract, idempotency, openapi
from app.api.fields import IdConverter
from app.auth import api_keys as keys
from app.auth import policy as access
from app.auth.commands import keys as key_commands
from app.cache import tags as caching
from app.config import INSTANCE, Settings
from app.db import engine as database
from app.extensions import db, migrate
from app.graphql import views as graphql_http
from app.http import problems
from app.logging import init_logging
from app.middleware import Door
from app.ratelimit import limiter as limits
from bookreview.commands import books, reviews
from bookreview.graphql_schema import schema
from bookreview.pages import bp as pages
from bookreview.views import bp as bookreview
from inventory.commands import products
from inventory.views import bp as inventory


def create_app(settings: Settings) -> Flask:
    """Make the service as ``settings`` ask for it."""
    app = Flask("app", instance_path=str(INSTANCE))
    app.config.from_mapping(
        # Not as SECRET_KEY: Flask would open a session for each request.
        CURSOR_KEY=settings.secret_key,
        MAX_CONTENT_LENGTH=settings.max_body_bytes,
        SQLALCHEMY_DATABASE_URI=settings.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=database.engine_options(settings.database_url),
        TESTING=settings.testing,
        REQUIRE_API_KEY=settings.require_api_key,
    )
    app.url_map.converters["id"] = IdConverter
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    db.init_app(app)
    migrate.init_app(app, db, directory=str(INSTANCE.parent / "migrations"))
    _add_manners(app, settings)
    for blueprint in (
        openapi.bp,
        preparing.bp,
        bookreview,
        pages,
        inventory,
        graphql_http.blueprint(schema),
    ):
        app.register_blueprint(blueprint)
    for group in (ads, books, reviews, products, key_commands):
        app.cli.add_command(group)
    idempotency.init_app(app)
    app.wsgi_app = Door(app, settings)  # type: ignore[method-assign]
    return app


def _add_manners(app: Flask, settings: Settings) -> None:
    """Put around every view what all routes share; the door last, around all of it."""
    if not settings.testing:
        init_logging(settings)
    database.init_app(app)
    problems.init_app(app)
    caching.init_app(app, settings)
    contract.init_app(app)
    keys.init_app(app)
    limits.init_app(app, settings)
    access.init_app(app, settings)
    health.init_app(app)
