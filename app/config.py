"""Every setting by name, with a default or a clear complaint."""

import os
import re
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

from limits import parse_many
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

INSTANCE = Path(__file__).resolve().parent.parent / "instance"
CACHE_TTL_MAX = 86_400
RATE_MAX = 1_000_000_000
THREADS = 8
"""Requests that one process works on at once; each may need one database connection."""
LIVE_THREADS = 2
"""Beside them, under asgi.py: for what the lines need; and one more reads the events."""
_DIGITS = re.compile(r"[0-9]{1,18}")
_ORIGIN = re.compile(r"https?://[a-z0-9.\[\]:-]+")
_NO_TIME = re.compile(r"(per|/)\s*0+\s*[a-z]", re.IGNORECASE)
T = TypeVar("T")


class InvalidSetting(SystemExit):
    """A setting with a wrong value. Uncaught, it ends the process with its one line."""

    def __init__(self, name: str, complaint: str) -> None:
        super().__init__(f"bookstall: {name} {complaint}")


class Rate(NamedTuple):
    """So many requests in so many seconds."""

    amount: int
    seconds: int


READ_RATE: Rate | None = Rate(600, 60)
WRITE_RATE: Rate | None = Rate(60, 60)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What an operator decides, checked."""

    database_url: str
    secret_key: str
    redis_url: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    web_concurrency: int = 2
    require_api_key: bool = False
    trusted_proxies: int = 0
    rate_limit_read: Rate | None = None
    rate_limit_write: Rate | None = None
    cache_ttl: int = 300
    max_body_bytes: int = 1_048_576
    allowed_origins: tuple[str, ...] = ()
    log_format: str = "text"
    testing: bool = False


def from_env(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; raise BadSetting, which names the first wrong one."""
    read = _Reader(environ)
    return Settings(
        database_url=read("DATABASE_URL", default_database_url(), database_url),
        redis_url=read("REDIS_URL", None, redis_url),
        secret_key=read("SECRET_KEY", None, long_secret) or load_or_create_secret(INSTANCE / "secret_key"),
        host=read("HOST", "127.0.0.1", str),
        port=read("PORT", 8000, integer_between(1, 65_535)),
        web_concurrency=read("WEB_CONCURRENCY", 2, integer_between(1, 256)),
        require_api_key=read("REQUIRE_API_KEY", "false", one_of("true", "false")) == "true",
        trusted_proxies=read("TRUSTED_PROXIES", 0, integer_between(0, 16)),
        rate_limit_read=read("RATE_LIMIT_READ", READ_RATE, rate),
        rate_limit_write=read("RATE_LIMIT_WRITE", WRITE_RATE, rate),
        cache_ttl=read("CACHE_TTL", 300, integer_between(1, CACHE_TTL_MAX)),
        max_body_bytes=read("MAX_BODY_BYTES", 1_048_576, integer_between(1_024, 1_073_741_824)),
        allowed_origins=read("ALLOWED_ORIGINS", (), origins),
        log_format=read("LOG_FORMAT", default_log_format(), one_of("text", "json")),
    )


def startup_warnings(settings: Settings) -> list[str]:
    """Say in a line each what an operator should know before strangers call."""
    if settings.require_api_key:
        return []
    return ["REQUIRE_API_KEY is false: anybody who reaches this service may write"]


class _Reader:
    """Reads one environment; an empty value counts as unset."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ

    def __call__(self, name: str, default: T, parse: Callable[[str], T]) -> T:
        text = self.environ.get(name, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as complaint:
            raise InvalidSetting(name, str(complaint)) from None


def default_database_url() -> str:
    """Name the SQLite file used where nothing else is asked for."""
    return f"sqlite:///{INSTANCE / 'bookstall.db'}"


def database_url(text: str) -> str:
    """Name the driver: SQLAlchemy takes a bare ``postgresql://`` for another one than ours."""
    try:
        make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError("is not the URL of a database") from None
    scheme, found, rest = text.partition("://")
    if found and scheme in {"postgres", "postgresql", "postgresql+psycopg2"}:
        return f"postgresql+psycopg2://{rest}"
    if found and scheme == "sqlite":
        return text
    raise ValueError("must start with sqlite:///, postgresql:// or postgres://")


def redis_url(text: str) -> str:
    """Accept what redis-py accepts in a URL."""
    try:
        parts = urlsplit(text)
        _ = parts.port  # complains of what is no port
    except ValueError:
        raise ValueError("is not the URL of a Redis") from None
    if parts.scheme not in {"redis", "rediss", "unix"}:
        raise ValueError("must start with redis://, rediss:// or unix://")
    return text


def long_secret(text: str) -> str:
    """Refuse a key that could be guessed."""
    if len(text) < 16:  # noqa: PLR2004 - sixteen characters are the 16 in the message
        raise ValueError("must have at least 16 characters")
    return text


def integer_between(least: int, most: int) -> Callable[[str], int]:
    """Make a parser of whole numbers from ``least`` to ``most``."""

    def parse(text: str) -> int:
        if not (_DIGITS.fullmatch(text) and least <= int(text) <= most):
            raise ValueError(f"must be a whole number from {least} to {most}, not {text!r}")
        return int(text)

    return parse


def rate(text: str) -> Rate | None:
    """Read ``600/minute``, ``20 per 2 second`` and so on; ``off`` is None."""
    if text == "off":
        return None
    complaint = f"must be off, or one rate such as 600/minute or 20 per 2 second, not {text!r}"
    try:
        (item,) = parse_many(text)
    except ValueError:
        raise ValueError(complaint) from None
    if not 1 <= item.amount <= RATE_MAX or _NO_TIME.search(text):
        raise ValueError(complaint)
    return Rate(item.amount, item.get_expiry())


def origins(text: str) -> tuple[str, ...]:
    """Read the sites whose pages may open a WebSocket, apart from our own."""
    found = tuple(part.strip() for part in text.split(","))
    if not all(_ORIGIN.fullmatch(part) for part in found):
        raise ValueError(f"must be sites such as https://shop.example, with commas, not {text!r}")
    return found


def one_of(*words: str) -> Callable[[str], str]:
    """Make a parser that accepts only ``words``."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be {' or '.join(words)}, not {text!r}")
        return text

    return parse


def default_log_format() -> str:
    """Choose text for a person at a terminal, JSON for a collector."""
    return "text" if sys.stderr.isatty() else "json"


def load_or_create_secret(path: Path) -> str:
    """Return the secret kept at ``path``; make it the first time, readable by its owner only."""
    if path.exists():
        return path.read_text()
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_urlsafe(32))
    try:
        # A link fails if the name is taken: of processes that start together, one wins.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text()
