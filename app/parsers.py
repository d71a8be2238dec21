"""Parsers of the values of settings: each returns the value, or raises ValueError with a reason."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

from redis import ConnectionPool, RedisError

MIN_SECRET_LENGTH = 16
_DIGITS = re.compile(r"[0-9]{1,18}")
_ORIGIN = re.compile(r"https?://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_VISIBLE = re.compile(r"[!-~]+")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_.])?")
_DURATION = re.compile(r"([0-9]{1,9})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
MAX_DURATION = timedelta(days=3_660)
_REDIS_PATH = re.compile(r"(/[0-9]*)?")


def utf8(text: str) -> str:
    """Reject a value whose bytes are not UTF-8: Python reads them as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("is not UTF-8") from None
    return text


def redis_url(text: str) -> str:
    """Accept the URLs with which redis-py can make a connection."""
    scheme, _, _ = text.partition("://")
    if scheme not in {"redis", "rediss", "unix"}:
        raise ValueError("must start with redis://, rediss:// or unix://")
    try:
        path = urlsplit(text).path
        pool = ConnectionPool.from_url(text)
        pool.connection_class(**pool.connection_kwargs)  # does not connect
    except (ValueError, TypeError, RedisError):
        raise ValueError("is not a Redis URL") from None
    if scheme != "unix" and not _REDIS_PATH.fullmatch(path):
        raise ValueError("must end with the number of a database, as in redis://127.0.0.1:6379/0")
    return text


def host(text: str) -> str:
    """Accept a name or an address; the port has a setting of its own."""
    try:
        is_address = bool(ip_address(text.partition("%")[0]))
    except ValueError:
        is_address = False
    if not is_address and not _HOST.fullmatch(text):
        raise ValueError(f"must be the name or the address of a host, without port, not {text!r}")
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


def duration(text: str) -> timedelta:
    """Parse ``90s``, ``15m``, ``1h`` or ``30d``: ten years at most."""
    match = _DURATION.fullmatch(text)
    if match:
        length = timedelta(**{_UNITS[match[2]]: int(match[1])})
        if length <= MAX_DURATION:
            return length
    raise ValueError(f"must be a time such as 90s, 15m, 1h or 30d, not {text!r}")


def point_in_time(text: str) -> datetime:
    """Parse a duration from now, a date (its begin in UTC) or an RFC 3339 time: ten years ahead."""
    now = datetime.now(UTC)
    try:
        time = now + duration(text) if _DURATION.fullmatch(text) else datetime.fromisoformat(text)
    except ValueError:
        message = "must be a time from now such as 30d, or a date such as 2027-01-31"
        raise ValueError(f"{message}, not {text!r}") from None
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    if not now < time <= now + MAX_DURATION:
        raise ValueError(f"must be in the future, and within ten years, which {text!r} is not")
    return time


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
