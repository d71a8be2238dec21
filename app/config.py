"""The settings: read from the environment, checked, with defaults."""

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
MAX_CACHE_TTL = 86_400
MAX_RATE = 1_000_000_000
MIN_SECRET_LENGTH = 16
THREADS = 8
"""Concurrent requests of one process; each may need one database connection."""
LIVE_THREADS = 2
"""Threads for live connections, under asgi.py only. One more reads the events."""
_DIGITS = re.compile(r"[0-9]{1,18}")
_ORIGIN = re.compile(r"https?://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_VISIBLE = re.compile(r"[!-~]+")
_NO_TIME = re.compile(r"(per|/)\s*0+\s*[a-z]", re.IGNORECASE)
T = TypeVar("T")


class InvalidSetting(SystemExit):
    """A setting has an invalid value. Uncaught, it ends the process and prints its one line."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"bookstall: {name} {reason}")


class Rate(NamedTuple):
    """A number of requests in a number of seconds."""

    amount: int
    seconds: int


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one service; the README describes each."""

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
    metrics_token: str | None = None
    log_format: str = "text"
    testing: bool = False


def from_env(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; raise InvalidSetting, which names the first invalid one."""

    def read(name: str, default: T, parse: Callable[[str], T]) -> T:
        text = environ.get(name, "").strip()
        if not text:  # an empty value counts as unset
            return default
        try:
            return parse(text)
        except ValueError as error:
            raise InvalidSetting(name, str(error)) from None

    default_log_format = "text" if sys.stderr.isatty() else "json"
    return Settings(
        database_url=read("DATABASE_URL", default_database_url(), database_url),
        redis_url=read("REDIS_URL", None, redis_url),
        secret_key=read("SECRET_KEY", None, long_secret)
        or load_or_create_secret(INSTANCE / "secret_key"),
        host=read("HOST", "127.0.0.1", str),
        port=read("PORT", 8000, integer_between(1, 65_535)),
        web_concurrency=read("WEB_CONCURRENCY", 2, integer_between(1, 256)),
        require_api_key=read("REQUIRE_API_KEY", "false", one_of("true", "false")) == "true",
        trusted_proxies=read("TRUSTED_PROXIES", 0, integer_between(0, 16)),
        rate_limit_read=read("RATE_LIMIT_READ", rate("600/minute"), rate),
        rate_limit_write=read("RATE_LIMIT_WRITE", rate("60/minute"), rate),
        cache_ttl=read("CACHE_TTL", 300, integer_between(1, MAX_CACHE_TTL)),
        max_body_bytes=read("MAX_BODY_BYTES", 1_048_576, integer_between(1_024, 1_073_741_824)),
        allowed_origins=read("ALLOWED_ORIGINS", (), origins),
        metrics_token=read("METRICS_TOKEN", None, visible_ascii),
        log_format=read("LOG_FORMAT", default_log_format, one_of("text", "json")),
    )


def startup_warnings(settings: Settings) -> list[str]:
    """Return a line for each setting that is unsafe on a public network."""
    if settings.require_api_key:
        return []
    return ["REQUIRE_API_KEY is false: every client that reaches this service may write"]


def default_database_url() -> str:
    """Return the URL of the SQLite file in the instance folder."""
    return f"sqlite:///{INSTANCE / 'bookstall.db'}"


def database_url(text: str) -> str:
    """Add the driver to a PostgreSQL URL: SQLAlchemy's default driver is not the installed one."""
    try:
        make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError("is not a database URL") from None
    scheme, separator, rest = text.partition("://")
    if separator and scheme in {"postgres", "postgresql", "postgresql+psycopg2"}:
        return f"postgresql+psycopg2://{rest}"
    if separator and scheme == "sqlite":
        return text
    raise ValueError("must start with sqlite:///, postgresql:// or postgres://")


def redis_url(text: str) -> str:
    """Accept the URLs that redis-py accepts."""
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises ValueError
    except ValueError:
        raise ValueError("is not a Redis URL") from None
    if parts.scheme not in {"redis", "rediss", "unix"}:
        raise ValueError("must start with redis://, rediss:// or unix://")
    return text


def long_secret(text: str) -> str:
    """Reject a key that could be guessed."""
    if len(text) < MIN_SECRET_LENGTH:
        raise ValueError(f"must have at least {MIN_SECRET_LENGTH} characters")
    return text


def integer_between(minimum: int, maximum: int) -> Callable[[str], int]:
    """Make a parser of integers from ``minimum`` to ``maximum``."""

    def parse(text: str) -> int:
        if not (_DIGITS.fullmatch(text) and minimum <= int(text) <= maximum):
            raise ValueError(f"must be an integer from {minimum} to {maximum}, not {text!r}")
        return int(text)

    return parse


def rate(text: str) -> Rate | None:
    """Parse ``600/minute``, ``20 per 2 second`` and the like; ``off`` is None."""
    if text == "off":
        return None
    message = f"must be off, or one rate such as 600/minute or 20 per 2 second, not {text!r}"
    try:
        (item,) = parse_many(text)
    except ValueError:
        raise ValueError(message) from None
    if not 1 <= item.amount <= MAX_RATE or _NO_TIME.search(text):
        raise ValueError(message)
    return Rate(item.amount, item.get_expiry())


def origins(text: str) -> tuple[str, ...]:
    """Parse the origins of other sites whose pages may call, as browsers write them; or ``*``."""
    if text == "*":
        return ("*",)
    try:
        return tuple(_origin(part.strip().lower()) for part in text.split(","))
    except ValueError:
        message = "must be origins such as https://shop.example, separated by commas, or *"
        raise ValueError(f"{message}, not {text!r}") from None


def _origin(text: str) -> str:
    parts = urlsplit(text)
    host = text.partition("://")[2].removesuffix(f":{parts.port}")
    if not (_ORIGIN.fullmatch(text) and parts.hostname) or parts.port == 0:
        raise ValueError
    has_own_port = parts.port not in {None, {"http": 80, "https": 443}[parts.scheme]}
    return f"{parts.scheme}://{host}:{parts.port}" if has_own_port else f"{parts.scheme}://{host}"


def visible_ascii(text: str) -> str:
    """Reject a token that a header cannot carry."""
    if not _VISIBLE.fullmatch(text):
        raise ValueError("must be visible ASCII characters without spaces")
    return text


def one_of(*words: str) -> Callable[[str], str]:
    """Make a parser that accepts only ``words``."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be {' or '.join(words)}, not {text!r}")
        return text

    return parse


def load_or_create_secret(path: Path) -> str:
    """Return the secret in the file at ``path``; create it, readable by its owner only."""
    if path.exists():
        return path.read_text()
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_urlsafe(32))
    try:
        # A link fails if the file exists: of processes that start together, one creates it.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text()
