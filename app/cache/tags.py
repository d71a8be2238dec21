"""Cache tags and keys: ``@cached(*tags)`` on a view that reads."""

import hashlib
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path

from flask import Flask

from app.config import Settings
from app.http.request import ENVIRON
from app.http.response import Environ, accepts_gzip
from app.http.route_options import View, set_options

ALL = "*"
"""A tag of every entry."""
WRITES = "writes"
"""A tag of no entry, which every write invalidates: see wal_position.py."""
FINE_TAGS = "bookstall.fine_tags"
"""The key of the environ under which a view leaves the fine tags of its response, a tuple."""
MAX_AGE = "bookstall.max_age"
"""The key of the environ under which a view leaves the seconds for which its response is true."""
REVALIDATE = ("Cache-Control", "max-age=0, must-revalidate")
"""On each response with a MAX_AGE. A larger number would let a proxy keep the response although a
write changes it meanwhile; without the header, it may keep it for as long as it likes."""
MAX_TAGS = 1_100
"""More tags are not deleted one by one: 10,000 take Redis a third of its time limit. A chunk of a
bulk request has up to 1,004."""


def cached(*tags: str, unless_scope: str | None = None) -> Callable[[View], View]:
    """Let the middleware serve this view from the cache until one of ``tags`` is invalidated.

    A tag may contain path arguments: ``book:{book_id}:reviews``. To a client whose key has the
    scope ``unless_scope`` the view may show more, so its responses are not cached.
    """
    return lambda view: set_options(view, cache_tags=tags, uncached_scope=unless_scope)


def set_fine_tags(tags: Iterable[str]) -> None:
    """Declare, after the query of a view, that its response depends on these tags only.

    Then a write that invalidates a tag of ``@cached`` but none of these leaves the response
    valid. Every write that invalidates one of these must invalidate a tag of ``@cached`` too.
    """
    ENVIRON.get()[FINE_TAGS] = tuple(tags)


def limit_age(seconds: float) -> None:
    """Declare that the response is true for so many seconds only, counted from its query.

    After that no cache serves it, though nothing has been written. No response to a POST is
    cached, nor what a WebSocket sends, which has no environ.
    """
    environ = ENVIRON.get(None)
    if environ is not None and environ["REQUEST_METHOD"] != "POST":
        environ[MAX_AGE] = seconds


def collapse_tags(tags: Iterable[str]) -> list[str]:
    """Return each tag once, or only ALL if there are more than MAX_TAGS."""
    distinct = sorted(set(tags))
    return distinct if len(distinct) <= MAX_TAGS else [ALL]


def cache_key(environ: Environ, fingerprint: bytes) -> str:
    """Return the key of a response: encoding, path, and the query parameters in sorted order."""
    query = "&".join(sorted(environ.get("QUERY_STRING", "").split("&")))
    text = f"{accepts_gzip(environ):d} {environ['PATH_INFO']}?{query}".encode("latin-1")
    return hashlib.blake2b(text, digest_size=16, key=fingerprint).hexdigest()


def code_fingerprint(app: Flask, settings: Settings) -> bytes:
    """Hash what a response depends on besides its request: code, database and SECRET_KEY.

    The code is every module of the packages of ``app`` and of its blueprints, so that a release
    never serves the responses of another one.
    """
    names = [app.import_name, *(blueprint.import_name for blueprint in app.blueprints.values())]
    digest = hashlib.blake2b(digest_size=32)
    for package in sorted({name.partition(".")[0] for name in names}):
        for path in source_files(package):
            digest.update(path.read_bytes())
    digest.update(f"{settings.database_url}\n{settings.secret_key}".encode())
    return digest.digest()


def source_files(package: str) -> list[Path]:
    """Return the modules of ``package`` and of all its subpackages."""
    spec = find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    return sorted(path for folder in folders or () for path in Path(folder).rglob("*.py"))
