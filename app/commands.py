"""`flask prepare`: what `make run` needs before it serves."""

from pathlib import Path

import click
from flask import Blueprint, current_app
from flask_migrate import upgrade
from sqlalchemy import inspect, make_url

from app.config import INSTANCE, default_database_url
from app.extensions import db

bp = Blueprint("preparing", __name__, cli_group=None)
SAMPLE = Path(__file__).resolve().parent.parent / "sample"
KEYS = {"books": "source_id", "reviews": "source_id", "products": "sku"}


@bp.cli.command()
def prepare() -> None:
    """Bring the database to the newest migration; fill the default one when it is new."""
    wanted = INSTANCE / "sample-not-loaded-yet"
    if _is_default() and not inspect(db.engine).has_table("alembic_version"):
        # The mark outlives an interruption: the next start takes up what this one left.
        wanted.touch()
    upgrade()
    if _is_default() and wanted.exists():
        _load_sample()
        wanted.unlink()


def _is_default() -> bool:
    asked = make_url(current_app.config["SQLALCHEMY_DATABASE_URI"])
    return asked == make_url(default_database_url())


def _load_sample() -> None:
    context = click.get_current_context()
    for name, key in KEYS.items():
        group = current_app.cli.commands[name]
        load = group.commands["load"]  # type: ignore[attr-defined]
        click.echo(f"sample {name}: ", nl=False)
        rejects = INSTANCE / f"sample-{name}.rejects.csv"
        context.invoke(load, file=SAMPLE / f"{name}.csv", key=key, rejects=rejects)
