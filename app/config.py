"""The settings: read from the environment, checked, with defaults."""

import os
import re
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from limits import parse_many
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from app.parsers import (
    host,
    integer_between,
    long_secret,
    one_of,
    origins,
    redis_url,
    require_primary,
    spread_hosts,
    utf8,
    visible_ascii,
)

INSTANCE = Path(__file__).resolve().parent.parent / "instance"
MAX_CACHE_TTL = 86_400
MAX_RATE = 1_000_000_000
MAX_RATE_SECONDS = 10 * 366 * 86_400
MAX_FEED_DAYS = 366
THREADS = 8
"""Concurrent requests of one process; each may need one database connection."""
EXPORTS = 2
"""Exports of one process that run at a time; each has a database connection of its own."""
LIVE_THREADS = 2
"""Threads for live connections, under asgi.py only. One more reads the events."""
_NO_TIME = re.compile(r"(per|/)\s*0+\s*[a-z]", re.IGNORECASE)
T = TypeVar("T")
true_or_false = one_of("true", "false")


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
    database_read_url: str | None = None
    redis_url: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    web_concurrency: int = 2
    require_api_key: bool = False
    trusted_proxies: int = 0
    rate_limit_read: Rate | None = None
    rate_limit_write: Rate | None = None
    rate_limit_trial: bool = False
    cache_ttl: int = 300
    cache_memory_mib: int = 64
    max_body_bytes: int = 1_048_576
    allowed_origins: tuple[str, ...] = ()
    metrics_token: str | None = None
    feed_days: int = 7
    webhook_private_targets: bool = False
    log_format: str = "text"
    traces_exporter: str = "none"
    testing: bool = False

    def __post_init__(self) -> None:
        # The position that a replica must have replayed is kept in Redis.
        is_replicated = self.redis_url and self.database_url.startswith("postgresql")
        if self.database_read_url and not is_replicated:
            raise InvalidSetting(
                "DATABASE_READ_URL", "needs a DATABASE_URL of PostgreSQL, and REDIS_URL"
            )


def from_env(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; raise InvalidSetting, which names the first invalid one."""

    def read(name: str, default: T, parse: Callable[[str], T]) -> T:
        text = environ.get(name, "").strip()
        if not text:  # an empty value counts as unset
            return default
        try:
            return parse(utf8(text))
        except ValueError as error:
            raise InvalidSetting(name, str(error)) from None

    default_log_format = "text" if sys.stderr.isatty() else "json"
    return Settings(
        database_url=read("DATABASE_URL", default_database_url(), usable_database_url),
        database_read_url=read("DATABASE_READ_URL", None, replica_url),
        redis_url=read("REDIS_URL", None, redis_url),
        secret_key=read("SECRET_KEY", None, long_secret)
        or load_or_create_secret(INSTANCE / "secret_key"),
        host=read("HOST", "127.0.0.1", host),
        port=read("PORT", 8000, integer_between(1, 65_535)),
        web_concurrency=read("WEB_CONCURRENCY", 2, integer_between(1, 256)),
        require_api_key=read("REQUIRE_API_KEY", "false", true_or_false) == "true",
        trusted_proxies=read("TRUSTED_PROXIES", 0, integer_between(0, 16)),
        rate_limit_read=read("RATE_LIMIT_READ", rate("600/minute"), rate),
        rate_limit_write=read("RATE_LIMIT_WRITE", rate("60/minute"), rate),
        rate_limit_trial=read("RATE_LIMIT_TRIAL", "false", true_or_false) == "true",
        cache_ttl=read("CACHE_TTL", 300, integer_between(1, MAX_CACHE_TTL)),
        cache_memory_mib=read("CACHE_MEMORY_MIB", 64, integer_between(0, 1_048_576)),
        max_body_bytes=read("MAX_BODY_BYTES", 1_048_576, integer_between(1_024, 1_073_741_824)),
        allowed_origins=read("ALLOWED_ORIGINS", (), origins),
        metrics_token=read("METRICS_TOKEN", None, visible_ascii),
        feed_days=read("FEED_DAYS", 7, integer_between(1, MAX_FEED_DAYS)),
        webhook_private_targets=read("WEBHOOK_PRIVATE_TARGETS", "false", true_or_false) == "true",
        log_format=read("LOG_FORMAT", default_log_format, one_of("text", "json")),
        traces_exporter=read(
            "OTEL_TRACES_EXPORTER", default_traces_exporter(environ), one_of("otlp", "none")
        ),
    )


def startup_warnings(settings: Settings) -> list[str]:
    """Return a line for each setting that is unsafe on a public network."""
    warnings = {
        "REQUIRE_API_KEY is false: every client that reaches this service may write": (
            not settings.require_api_key
        ),
        "RATE_LIMIT_TRIAL is true: the rate limits refuse nothing": settings.rate_limit_trial,
        "WEBHOOK_PRIVATE_TARGETS is true: webhooks may call any host of this network": (
            settings.webhook_private_targets
        ),
    }
    return [warning for warning, applies in warnings.items() if applies]


def default_traces_exporter(environ: Mapping[str, str]) -> str:
    """Return ``otlp`` if OpenTelemetry's own variables name a collector, else ``none``."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return "none"
    names = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    return "otlp" if any(environ.get(name, "").strip() for name in names) else "none"


def default_database_url() -> str:
    """Return the URL of the SQLite file in the instance folder."""
    return f"sqlite:///{INSTANCE / 'bookstall.db'}"


def database_url(text: str) -> str:
    """Add the driver to a PostgreSQL URL: SQLAlchemy's default driver is not the installed one."""
    text = spread_hosts(text)
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


def usable_database_url(text: str) -> str:
    """Do as ``database_url``; make the folder of a SQLite file, and reject what is no file."""
    url = database_url(text)
    if not url.startswith("sqlite"):
        require_primary(make_url(url))
        return url
    file = make_url(url).database
    if not file or file == ":memory:" or Path(file).is_dir():
        raise ValueError("must name a file, as in sqlite:////var/lib/bookstall/bookstall.db")
    try:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"names a folder that cannot be made: {error}") from None
    return url


def replica_url(text: str) -> str:
    """Do as ``database_url``, for PostgreSQL only."""
    url = database_url(text)
    if url.startswith("sqlite"):
        raise ValueError("must start with postgresql:// or postgres://")
    return url


def rate(text: str) -> Rate | None:
    """Parse ``600/minute``, ``20 per 2 second`` and the like; ``off`` is None."""
    if text == "off":
        return None
    message = f"must be off, or one rate such as 600/minute or 20 per 2 second, not {text!r}"
    try:
        (item,) = parse_many(text)
    except ValueError:
        raise ValueError(message) from None
    is_possible = 1 <= item.amount <= MAX_RATE and item.get_expiry() <= MAX_RATE_SECONDS
    if not is_possible or _NO_TIME.search(text):
        raise ValueError(message)
    return Rate(item.amount, item.get_expiry())


def load_or_create_secret(path: Path) -> str:
    """Return the secret in the file at ``path``; create it, readable by its owner only."""
    try:
        return long_secret(_load_or_create(path).strip())
    except (OSError, ValueError) as error:
        reason = f"is not set, and cannot be kept in {path}: {error}"
        raise InvalidSetting("SECRET_KEY", reason) from None


def _load_or_create(path: Path) -> str:
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
