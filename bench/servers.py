"""The servers of the section `http`, each in a session of its own."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from stack.servers import Postgres, Redis
from stress.data import fill
from stress.http_client import HttpConnection, get
from stress.service import LiveService, Service

ITEMS = {"/books?limit=50": 50, "/books/1/reviews?limit=50": 50, "/products/1": 1}
"""How many items the response of each path has."""
BODY_NAMES = dict(zip(ITEMS, ("books", "reviews", "product"), strict=True))
ASGI, ASGI_H1C, ASGI_LIMITED = "asgi", "asgi with h1c", "asgi with limits"
ASGI_SQLITE, WSGI_SQLITE = "asgi on SQLite", "wsgi on SQLite"
WSGI = "wsgi"
ASGI_UNCACHED, WSGI_UNCACHED = "asgi, uncached", "wsgi, uncached"
FASTAPI_REDIS, FASTAPI_MEMORY = "FastAPI + Redis GET", "FastAPI, bytes in memory"
FASTAPI_ORM = "FastAPI + async ORM"
FLASK_REDIS, FLASK_ORM = "Flask + Redis GET", "Flask + ORM + marshmallow"
BARE = "bare WSGI"
CACHED = frozenset({ASGI, ASGI_H1C, ASGI_LIMITED, ASGI_SQLITE, WSGI, WSGI_SQLITE})
"""Those whose responses have to say that they come from the cache."""


class Uvicorn(Service):
    """Run an ASGI application as `uvicorn[standard]` does, without its access log."""

    def command(self) -> list[str]:
        """Return the command line of uvicorn; it exits if one of its fast parts is missing."""
        parts = ["--loop", "uvloop", "--http", "httptools", "--no-access-log"]
        where = ["--port", str(self.port), self._application]
        return [sys.executable, "-m", "uvicorn", *parts, *where]


def has_h1c() -> bool:
    """Return whether gunicorn's parser in C is installed."""
    return find_spec("gunicorn_h1c") is not None


@contextmanager
def start_servers() -> Iterator[dict[str, Service]]:
    """Start all servers with one worker each, on one PostgreSQL and one Redis."""
    with ExitStack() as stack:
        url = stack.enter_context(Postgres()).new_database("bench")
        redis = stack.enter_context(Redis())
        folder = Path(stack.enter_context(TemporaryDirectory()))
        sqlite = f"sqlite:///{folder}/bench.db"
        for each in (url, sqlite):
            fill(each)
        database = {"DATABASE_URL": url, "RATE_LIMIT_READ": "off"}
        uncached = {**database, "CACHE_MEMORY_MIB": "0"}
        cached = {**database, "REDIS_URL": redis.url}
        limited = {**cached, "RATE_LIMIT_READ": "600/minute", "TRUSTED_PROXIES": "1"}
        without_redis = {"DATABASE_URL": sqlite, "RATE_LIMIT_READ": "off"}
        bodies = {"BODIES": str(folder), "REDIS_URL": redis.url}
        servers = {
            ASGI: LiveService(**cached, GUNICORN_CMD_ARGS="--http-parser python"),
            ASGI_LIMITED: LiveService(**limited, GUNICORN_CMD_ARGS="--http-parser python"),
            ASGI_SQLITE: LiveService(**without_redis, GUNICORN_CMD_ARGS="--http-parser python"),
            WSGI: Service(**cached),
            WSGI_SQLITE: Service(**without_redis),
            ASGI_UNCACHED: LiveService(**uncached, GUNICORN_CMD_ARGS="--http-parser python"),
            WSGI_UNCACHED: Service(**uncached),
            FASTAPI_REDIS: Uvicorn("bench.peers.fastapi_redis:app", **bodies),
            FASTAPI_MEMORY: Uvicorn("bench.peers.fastapi_memory:app", **bodies),
            FASTAPI_ORM: Uvicorn("bench.peers.fastapi_orm:app", DATABASE_URL=url),
            FLASK_REDIS: Service("bench.peers.flask_redis:app", **bodies, DATABASE_URL=url),
            FLASK_ORM: Service("bench.peers.flask_orm:app", DATABASE_URL=url),
            BARE: Service("bench.peers.bare:app", **bodies),
        }
        if has_h1c():
            servers[ASGI_H1C] = LiveService(**cached, GUNICORN_CMD_ARGS="--http-parser fast")
        stack.enter_context(servers[ASGI])
        for path, name in BODY_NAMES.items():
            (folder / name).write_bytes(body_of(servers[ASGI], path))
        for name, server in servers.items():
            if name != ASGI:
                stack.enter_context(server)
        yield servers


def body_of(server: Service, path: str) -> bytes:
    """Return the body of a response that has the right number of items; this warms a cache."""
    connection = HttpConnection(server.port)
    response = connection.request(get(path))
    connection.close()
    if response.status != 200 or response.body.count(b'"id":') != ITEMS[path]:
        raise SystemExit(f"{path}: {response.status}, {response.body[:200]!r}")
    return response.body
