"""Parsers of the values of settings: each returns the value, or raises ValueError with a reason."""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from redis import ConnectionPool, RedisError
from sqlalchemy import URL

MIN_SECRET_LENGTH = 16
_DIGITS = re.compile(r"[0-9]{1,18}")
_ORIGIN = re.compile(r"https?://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_VISIBLE = re.compile(r"[!-~]+")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_.])?")
_DURATION = re.compile(r"([0-9]{1,9})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
MAX_DURATION = timedelta(days=3_660)
_REDIS_PATH = re.compile(r"(/[0-9]*)?")
_SEVERAL_HOSTS = re.compile(r"([a-z0-9+]+://(?:[^/?@]*@)?)([^/?@]*,[^/?@]*)([^?]*)[?]?(.*)")
PRIMARY = ("read-write", "primary")
SENTINEL_SCHEME = "redis+sentinel"
_SENTINEL_PORT = 26_379
_SENTINEL_PATH = re.compile(r"/([A-Za-z0-9._-]+)(/[0-9]*)?")
_SENTINEL_FORM = "must be as in redis+sentinel://host:26379,host:26379/name/0"


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int


class SentinelUrl(NamedTuple):
    """The parts of redis+sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT/NAME/DB?OPTIONS.

    User, password, database and options are for the servers with the data. The Sentinels get the
    options too, and sentinel_username and sentinel_password, which are options of ours.
    """

    credentials: str
    sentinels: tuple[Address, ...]
    name: str
    """The name of the master that the Sentinels know."""
    database: str
    options: tuple[tuple[str, str], ...]

    def url_of_data(self) -> str:
        """Return the URL of a server with the data, but with the address of a Sentinel."""
        options = [pair for pair in self.options if not pair[0].startswith("sentinel_")]
        return _redis_url(self.credentials, self.sentinels[0], self.database, options)

    def url_of_sentinel(self, address: Address) -> str:
        """Return the URL of a Sentinel."""
        named = dict(self.options)
        user, password = (
            quote(named.pop(f"sentinel_{name}", ""), safe="") for name in ("username", "password")
        )
        named.pop("db", None)
        return _redis_url(f"{user}:{password}@" if password else "", address, "", named.items())


def _redis_url(
    credentials: str, address: Address, path: str, options: Iterable[tuple[str, str]]
) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"redis://{credentials}{host}:{address.port}{path}?{urlencode(list(options))}"


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
    if scheme == SENTINEL_SCHEME:
        url = sentinel_url(text)
        _check_connection(url.url_of_data())
        _check_connection(url.url_of_sentinel(url.sentinels[0]))
        return text
    if scheme not in {"redis", "rediss", "unix"}:
        raise ValueError("must start with redis://, rediss://, unix:// or redis+sentinel://")
    path = _check_connection(text)
    if scheme != "unix" and not _REDIS_PATH.fullmatch(path):
        raise ValueError("must end with the number of a database, as in redis://127.0.0.1:6379/0")
    return text


def _check_connection(url: str) -> str:
    """Reject a URL of which redis-py cannot make a connection; return its path."""
    try:
        path = urlsplit(url).path
        pool = ConnectionPool.from_url(url)
        pool.connection_class(**pool.connection_kwargs)  # does not connect
    except (ValueError, TypeError, RedisError):
        raise ValueError("is not a Redis URL") from None
    return path


def sentinel_url(text: str) -> SentinelUrl:
    """Parse the URL of a master that Sentinels know by its name."""
    rest, _, query = text.partition("://")[2].partition("?")
    authority, slash, path = rest.partition("/")
    credentials, at, hosts = authority.rpartition("@")
    match = _SENTINEL_PATH.fullmatch(slash + path)
    if not match or "@" in credentials:
        raise ValueError(_SENTINEL_FORM)
    try:
        sentinels = tuple(_address(part) for part in hosts.split(","))
        options = tuple(parse_qsl(query, strict_parsing=True)) if query else ()
    except ValueError:
        raise ValueError(_SENTINEL_FORM) from None
    return SentinelUrl(credentials + at, sentinels, match[1], match[2] or "", options)


def _address(text: str) -> Address:
    parts = urlsplit(f"//{text}")
    if parts.username is not None or not parts.hostname or parts.port == 0:
        raise ValueError
    return Address(host(parts.hostname), parts.port or _SENTINEL_PORT)


def spread_hosts(url: str) -> str:
    """Move the hosts of postgresql://one:5432,two:5432/name into its query, for SQLAlchemy."""
    match = _SEVERAL_HOSTS.fullmatch(url)
    if not match:
        return url
    hosts = [f"host={name}" for name in match[2].split(",")]
    return f"{match[1]}{match[3]}?{'&'.join([*hosts, *filter(None, [match[4]])])}"


def require_primary(url: URL) -> None:
    """Reject several hosts of which any might be used, also a standby."""
    hosts = url.query.get("host", "")
    if any("," in name and ":" in name for name in ((hosts,) if isinstance(hosts, str) else hosts)):
        raise ValueError("must name several hosts as in ?host=one:5432&host=two:5432")
    is_several = not isinstance(hosts, str) or "," in hosts
    if is_several and url.query.get("target_session_attrs") not in PRIMARY:
        raise ValueError("names several hosts, and so needs target_session_attrs=read-write")


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
