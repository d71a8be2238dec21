"""`flask keys ...`: create, list and revoke API keys."""

import re

import click
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy import func, select

from app.auth.api_keys import NAME_MAX, ApiKey, new_token
from app.db.types import now
from app.extensions import db
from app.http.route_options import options_of
from app.text import find_hidden

KEYS_MAX = 10_000
"""Every process caches all active keys."""
KEY_ARGUMENT = re.compile(r"(?:bks_)?([0-9a-f]{12})(?:_.*)?")

keys = AppGroup("keys", help="Create, list and revoke API keys.")


@keys.command()
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, help="A scope of the key; can be repeated.")
def create(name: str, scopes: tuple[str, ...]) -> None:
    """Create a key called NAME and print it. It cannot be printed again."""
    _validate(name, scopes)
    token, public, digest = new_token()
    key = ApiKey(name=name, public=public, digest=digest, scopes=sorted(set(scopes)))
    db.session.add(key)
    db.session.commit()
    description = f"Key {public} of {name!r}: {_format(key.scopes)}."
    click.echo(f"{description} Store it now: it is not shown again.", err=True)
    click.echo(token)


def _validate(name: str, scopes: tuple[str, ...]) -> None:
    if not (name.strip() and name.isprintable() and len(name) <= NAME_MAX):
        raise click.BadParameter(f"a name must have 1 to {NAME_MAX} printable characters")
    if hidden := find_hidden(name):
        raise click.BadParameter(f"a name must not contain the invisible character {hidden}")
    declared = {options_of(view).scope for view in current_app.view_functions.values()}
    known = sorted(scope for scope in declared if scope is not None)
    for unknown in set(scopes) - set(known):
        names = ", ".join(known)
        raise click.BadParameter(f"there is no scope {unknown!r}; the scopes are {names}")
    active = select(func.count()).where(ApiKey.revoked_at.is_(None))
    if db.session.scalars(active).one() >= KEYS_MAX:
        raise click.ClickException(f"there are already {KEYS_MAX} active keys: revoke some first")


@keys.command("list")
def list_() -> None:
    """List all keys without their secrets."""
    click.echo(f"{'key':<12}  {'created':<16}  {'revoked':<16}  {'name':<24}  scopes")
    for key in db.session.scalars(select(ApiKey).order_by(ApiKey.id)):
        times = (key.created_at, key.revoked_at)
        created, revoked = (f"{time:%Y-%m-%d %H:%M}" if time else "" for time in times)
        scopes = _format(key.scopes)
        click.echo(f"{key.public}  {created:<16}  {revoked:<16}  {key.name:<24}  {scopes}")


@keys.command()
@click.argument("key")
def revoke(key: str) -> None:
    """Revoke KEY: an id from `flask keys list`, or a whole key. It takes effect within 1 s."""
    match = KEY_ARGUMENT.fullmatch(key)
    public = match[1] if match else ""
    api_key = db.session.scalar(select(ApiKey).where(ApiKey.public == public))
    if api_key is None:
        raise click.ClickException("key not found; `flask keys list` lists all keys")
    api_key.revoked_at = api_key.revoked_at or now()
    db.session.commit()
    click.echo(f"Key {api_key.public} of {api_key.name!r} is revoked.", err=True)


def _format(scopes: list[str]) -> str:
    return ", ".join(scopes) or "no scopes, reads only"
