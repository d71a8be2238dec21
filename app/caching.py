"""Two verbs: ``@cached(*tags)`` on a reading view, ``commit_and_forget(*tags)`` after a write.

Read-through: the finished answer (bytes and ETag) from Redis, else the view, which then fills
Redis. How stale answers are kept out is told in docs/design.md, "How the cache stays right".
"""

import hashlib
import logging
from collections.abc import Callable
from functools import wraps
from importlib.metadata import version
from typing import Any, cast

from flask import Flask, Response, current_app, g, request
from sqlalchemy.exc import SQLAlchemyError

from app import outbox
from app.answers import Answers, pack, unpack
from app.conditional import finish, takes_gzip
from app.config import Settings
from app.contract import View
from app.extensions import cache, db
from app.redis_cache import CacheAway, RedisCache

NAME = "bookstall"
log = logging.getLogger(__name__)


def cached(*tags: str) -> Callable[[View], View]:
    """Answer from the cache while none of ``tags`` was forgotten, else from the view.

    A tag may name parts of the path: ``book:{book_id}:reviews``.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def reading(**path: Any) -> Response:
            def answer() -> bytes:
                return pack(finish(view(**path)))

            kept = answer_cache()
            if kept is None:
                g.cache_status = "fwd=bypass; detail=no-redis"
                return unpack(answer())
            filled = [tag.format(**path) for tag in tags]
            entry, g.cache_status = kept.read(_key(), filled, answer)
            return unpack(entry)

        return reading

    return decorate


def commit_and_forget(*tags: str) -> None:
    """Commit the write at hand, and invalidate every cached answer that carries one of ``tags``.

    What has committed never fails here: an invalidation that cannot be delivered stays in the
    outbox, in the same transaction as the write.
    """
    row = outbox.put(tags)
    db.session.commit()
    kept = answer_cache()
    try:
        if kept is None:
            outbox.purge_now_and_then()
        else:
            kept.deliver([(row, list(tags))])
    except (CacheAway, SQLAlchemyError) as error:
        log.warning("invalidation %d waits in the outbox: %s", row, error)


def _key() -> str:
    """Name the answer: this release, the encoding, the path, the query in one order."""
    query = b"&".join(sorted(request.query_string.split(b"&")))
    named = b"%d %s?%s" % (takes_gzip(), request.path.encode(), query)
    salt = current_app.extensions["bookstall_release"]
    return hashlib.blake2b(named, digest_size=16, key=salt).hexdigest()


def answer_cache() -> Answers | None:
    """Return the cache of this application, if it has one."""
    return cast("Answers | None", current_app.extensions["bookstall_answers"])


def show_status(response: Response) -> Response:
    """Say on every answer what the cache did for it."""
    status = g.get("cache_status", "fwd=bypass; detail=not-cacheable")
    response.headers["Cache-Status"] = f"{NAME}; {status}"
    return response


def init_app(app: Flask, settings: Settings) -> None:
    """Choose Redis or the null cache."""
    chosen = (
        {"CACHE_TYPE": "app.redis_cache.RedisCache", "CACHE_REDIS_URL": settings.redis_url}
        if settings.redis_url
        else {"CACHE_TYPE": "NullCache", "CACHE_NO_NULL_WARNING": True}
    )
    cache.init_app(app, {**chosen, "CACHE_DEFAULT_TIMEOUT": settings.cache_ttl})
    backend = app.extensions["cache"][cache]
    app.extensions["bookstall_answers"] = (
        Answers(backend) if isinstance(backend, RedisCache) else None
    )
    # Another release may write other answers, and another secret signs other cursors.
    release = f"{version('bookstall')} {settings.secret_key}".encode()
    app.extensions["bookstall_release"] = hashlib.blake2b(release, digest_size=32).digest()
    app.after_request(show_status)
