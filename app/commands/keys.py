"""`flask keys ...`: create, list, rotate and revoke API keys."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click
from flask.cli import AppGroup
from sqlalchemy import func, select

from app.auth.api_keys import NAME_MAX, ApiKey, new_secret, new_token
from app.db.types import now
from app.extensions import db
from app.parsers import duration, point_in_time
from app.services import current_services
from app.text import find_hidden

KEYS_MAX = 10_000
"""Every process caches all active keys."""
KEY_ARGUMENT = re.compile(r"(?:bks_)?([0-9a-f]{12})(?:_.*)?")

T = TypeVar("T")

keys = AppGroup("keys", help="Create, list, rotate and revoke API keys.")


def parsed_by(parse: Callable[[str], T]) -> Callable[[Any, Any, str | None], T | None]:
    """Make the callback of an option whose value ``parse`` reads."""

    def callback(_: Any, __: Any, text: str | None) -> T | None:
        try:
            return None if text is None else parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return callback


expires = click.option(
    "--expires",
    "expires_at",
    metavar="WHEN",
    callback=parsed_by(point_in_time),
    help="When the key stops being valid: 30d from now, or 2027-01-31 (its begin in UTC).",
)


@keys.command()
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, help="A scope of the key; can be repeated.")
@expires
def create(name: str, scopes: tuple[str, ...], expires_at: datetime | None) -> None:
    """Create a key called NAME and print it. It cannot be printed again."""
    _validate(name, scopes)
    token, public, digest = new_token()
    key = ApiKey(
        name=name,
        public=public,
        digest=digest,
        scopes=sorted(set(scopes)),
        expires_at=expires_at,
    )
    db.session.add(key)
    db.session.commit()
    _show(key, token)


def _show(key: ApiKey, token: str, more: str = "") -> None:
    end = f" It expires on {_time(key.expires_at)}." if key.expires_at else ""
    description = f"Key {key.public} of {key.name!r}: {_format(key.scopes)}.{end}{more}"
    click.echo(f"{description} Store it now: it is not shown again.", err=True)
    click.echo(token)


def _validate(name: str, scopes: tuple[str, ...]) -> None:
    if not (name.strip() and name.isprintable() and len(name) <= NAME_MAX):
        raise click.BadParameter(f"a name must have 1 to {NAME_MAX} printable characters")
    if hidden := find_hidden(name):
        raise click.BadParameter(f"a name must not contain the invisible character {hidden}")
    known = current_services().scopes
    for unknown in set(scopes) - set(known):
        names = ", ".join(known)
        raise click.BadParameter(f"there is no scope {unknown!r}; the scopes are {names}")
    active = select(func.count()).where(ApiKey.active())
    if db.session.scalars(active).one() >= KEYS_MAX:
        raise click.ClickException(f"there are already {KEYS_MAX} active keys: revoke some first")


@keys.command("list")
def list_() -> None:
    """List all keys without their secrets. Times are in UTC.

    An old secret is valid until the time under "old until": see `flask keys rotate`.
    """
    click.echo(_row("key", "created", "expires", "revoked", "old until", "name", "scopes"))
    for key in db.session.scalars(select(ApiKey).order_by(ApiKey.id)):
        times = (key.created_at, key.expires_at, key.revoked_at, key.grace_until())
        click.echo(_row(key.public, *map(_time, times), key.name, _format(key.scopes)))


def _row(public: str, *cells: str) -> str:
    *times, name, scopes = cells
    return "  ".join((f"{public:<12}", *(f"{time:<16}" for time in times), f"{name:<24}", scopes))


@keys.command()
@click.argument("key")
@click.option(
    "--grace",
    metavar="TIME",
    default="1h",
    show_default=True,
    callback=parsed_by(duration),
    help="How long older secrets are still valid; 0s ends them at once.",
)
@expires
def rotate(key: str, grace: timedelta, expires_at: datetime | None) -> None:
    """Give KEY a new secret and print it: an id from `flask keys list`, or a whole key.

    Name, scopes, limits and, without --expires, the expiry stay.
    """
    api_key = _find(key)
    if api_key.revoked_at is not None:
        raise click.ClickException("this key is revoked: create another one")
    expires_at = expires_at or api_key.expires_at
    if expires_at is not None and expires_at <= now():
        raise click.ClickException("this key has expired: give it another end with --expires")
    token, digest = new_secret(api_key.public)
    api_key.rotate(digest, now() + grace, expires_at)
    db.session.commit()
    until = api_key.grace_until()
    end = f"until {_time(until)}" if until else "for a second at most"
    _show(api_key, token, f" Its older secrets are valid {end}.")


@keys.command()
@click.argument("key")
def revoke(key: str) -> None:
    """Revoke KEY: an id from `flask keys list`, or a whole key. It takes effect within 1 s."""
    api_key = _find(key)
    api_key.revoked_at = api_key.revoked_at or now()
    db.session.commit()
    click.echo(f"Key {api_key.public} of {api_key.name!r} is revoked.", err=True)


def _find(key: str) -> ApiKey:
    """Return the key that ``key`` names, locked."""
    match = KEY_ARGUMENT.fullmatch(key)
    public = match[1] if match else ""
    query = select(ApiKey).where(ApiKey.public == public).with_for_update()
    api_key = db.session.scalar(query)
    if api_key is None:
        raise click.ClickException("key not found; `flask keys list` lists all keys")
    return api_key


def _time(time: datetime | None) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M}" if time else ""


def _format(scopes: list[str]) -> str:
    return ", ".join(scopes) or "no scopes, reads only"
