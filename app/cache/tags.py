"""Two verbs: ``@cached(*tags)`` on a reading view, ``commit_and_forget(*tags)`` after a write.

How stale answers are kept out is told in docs/design.md, "How the cache stays right".
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from flask import g

from app.config import Settings
from app.extensions import db
from app.http.response import Environ, takes_gzip
from app.http.route_options import View, options_of, set_options
from app.unit_of_work import NewEvent, PendingWrite

ROOT = Path(__file__).resolve().parents[2]
HELD_BACK = "bookstall_held_back"


def cached(*tags: str) -> Callable[[View], View]:
    """Let the door answer from the cache for this view while none of ``tags`` was forgotten.

    A tag may name parts of the path: ``book:{book_id}:reviews``.
    """

    def mark(view: View) -> View:
        set_options(view, replace(options_of(view), cache_tags=tags))
        return view

    return mark


def commit_and_forget(*tags: str, event: NewEvent | None = None) -> None:
    """Commit the write at hand, and invalidate every cached answer that carries one of ``tags``.

    ``event``, a topic and a payload, goes into the log with it. What has committed never fails
    here: an invalidation that cannot be delivered stays in the outbox, where the transaction of
    the write has put it.
    """
    telling = PendingWrite(read_through(current_app), tags, event)
    held_back: list[PendingWrite] | None = g.get(HELD_BACK)
    if held_back is None:
        _commit([telling])
    else:
        db.session.flush()
        held_back.append(telling)


def _commit(tellings: Sequence[PendingWrite]) -> None:
    for telling in tellings:
        telling.place()
    db.session.commit()
    for telling in tellings:
        telling.tell()


@contextmanager
def one_commit() -> Iterator[Callable[[], None]]:
    """Hold the commits of this block back until its end, where it calls what it is given.

    So more can be put into the transaction of a write, when its answer is made. A block that
    does not call leaves nothing behind.
    """
    held_back: list[PendingWrite] = []
    setattr(g, HELD_BACK, held_back)
    try:
        yield lambda: _commit(held_back)
    finally:
        g.pop(HELD_BACK)
        db.session.rollback()


def code_fingerprint(settings: Settings) -> bytes:
    """Name what answers depend on beside the request: code, database, the secret of the cursors."""
    named = hashlib.blake2b(digest_size=32)
    for path in sorted(
        [p for name in ("app", "bookreview", "inventory") for p in (ROOT / name).rglob("*.py")]
    ):
        named.update(path.read_bytes())
    named.update(f"{settings.database_url}\n{settings.secret_key}".encode())
    return named.digest()


def cache_key(environ: Environ, salt: bytes) -> str:
    """Name an answer: the encoding, the path, and the query in one order."""
    query = "&".join(sorted(environ.get("QUERY_STRING", "").split("&")))
    named = f"{takes_gzip(environ):d} {environ['PATH_INFO']}?{query}".encode("latin-1")
    return hashlib.blake2b(named, digest_size=16, key=salt).hexdigest()


def init_app(app: Flask, settings: Settings) -> None:
    """Choose Redis or the null cache."""
    chosen = (
        {"CACHE_TYPE": "app.cache.backend.RedisCache", "CACHE_REDIS_URL": settings.redis_url}
        if settings.redis_url
        else {"CACHE_TYPE": "NullCache", "CACHE_NO_NULL_WARNING": True}
    )
    cache.init_app(app, {**chosen, "CACHE_DEFAULT_TIMEOUT": settings.cache_ttl})
    backend = app.extensions["cache"][cache]
    with app.app_context():
        engine = autocommit_engine()
    app.extensions["bookstall_cache"] = (
        ReadThrough(backend, engine) if isinstance(backend, RedisCache) else None
    )
