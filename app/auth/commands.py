"""`flask keys ...`: make, list and revoke API keys."""

import re
from datetime import datetime

import click
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy import func, select

from app.auth.api_keys import NAME_MAX, ApiKey, new_token, scopes_of
from app.db.types import now
from app.extensions import db

KEYS_MAX = 10_000
"""Every process holds all good keys in memory."""
ASKED = re.compile(r"(?:bks_)?([0-9a-f]{12})(?:_.*)?")

keys = AppGroup("keys", help="API keys.")


@keys.command()
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, help="What the key may do; can be repeated.")
def create(name: str, scopes: tuple[str, ...]) -> None:
    """Make a key for NAME and print it; it cannot be shown again."""
    _check(name, scopes)
    token, public, digest = new_token()
    key = ApiKey(name=name, public=public, digest=digest, scopes=sorted(set(scopes)))
    db.session.add(key)
    db.session.commit()
    click.echo(f"Key {public} of {name!r}: {_told(key.scopes)}. Keep it: ", err=True, nl=False)
    click.echo("it is shown this once.", err=True)
    click.echo(token)


def _check(name: str, scopes: tuple[str, ...]) -> None:
    if not (name.strip() and name.isprintable() and len(name) <= NAME_MAX):
        raise click.BadParameter(f"a name has 1 to {NAME_MAX} printable characters")
    known = scopes_of(current_app)
    for unknown in set(scopes) - set(known):
        raise click.BadParameter(f"there is no scope {unknown!r}, only {', '.join(known)}")
    alive = select(func.count()).where(ApiKey.revoked_at.is_(None))
    if db.session.scalars(alive).one() >= KEYS_MAX:
        raise click.ClickException(f"there are {KEYS_MAX} keys: revoke some first")


@keys.command("list")
def list_() -> None:
    """List all keys, without their secrets."""
    click.echo(f"{'key':<12}  {'created':<16}  {'revoked':<16}  {'name':<24}  scopes")
    for key in db.session.scalars(select(ApiKey).order_by(ApiKey.id)):
        created, revoked = (f"{at:%Y-%m-%d %H:%M}" if at else "" for at in _moments(key))
        scopes = _told(key.scopes)
        click.echo(f"{key.public}  {created:<16}  {revoked:<16}  {key.name:<24}  {scopes}")


@keys.command()
@click.argument("key")
def revoke(key: str) -> None:
    """Revoke KEY, named as `list` shows it; within a second no process takes it."""
    asked = ASKED.fullmatch(key)
    found = db.session.scalar(select(ApiKey).where(ApiKey.public == (asked[1] if asked else "")))
    if found is None:
        raise click.ClickException("there is no such key; `flask keys list` shows them")
    found.revoked_at = found.revoked_at or now()
    db.session.commit()
    click.echo(f"Key {found.public} of {found.name!r} is revoked.", err=True)


def _told(scopes: list[str]) -> str:
    return ", ".join(scopes) or "no scope, reads only"


def _moments(key: ApiKey) -> tuple[datetime, datetime | None]:
    return key.created_at, key.revoked_at
