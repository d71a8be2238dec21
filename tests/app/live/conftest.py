"""Fixtures for live reviews: clients, books, reviews, API keys, event readers and hubs."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from stack.servers import Redis
from tests.app.live.clients import EventStreamClient, WebSocketClient
from tests.app.live.event_listener import Listener
from tests.app.live.followed_log import FollowedLog
from tests.waiting import PATIENCE, wait_until

ROOT = Path(__file__).parents[3]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Context managers that are closed when the test ends."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def websocket(stack: ExitStack) -> Callable[..., WebSocketClient]:
    """A factory of connected WebSocket clients."""
    return lambda server, **how: stack.enter_context(WebSocketClient(server, **how))


@pytest.fixture
def stream(stack: ExitStack) -> Callable[..., EventStreamClient]:
    """A factory of clients that have requested a stream and received its headers."""
    return lambda server, *query, **how: stack.enter_context(
        EventStreamClient(server, *query, **how)
    )


@pytest.fixture
def book() -> Callable[..., str]:
    """A factory of books; returns the id as GraphQL writes it."""

    def make(server: Any, **headers: str) -> str:
        document = json.dumps({"title": "Emma", "author": "Jane Austen"}).encode()
        status, _, body = server.insist("POST", "/books", document, **headers)
        assert status == 201, body
        return str(json.loads(body)["id"])

    return make


@pytest.fixture
def review() -> Callable[..., int]:
    """A factory of reviews, added through REST; returns the id."""

    def make(server: Any, book: str, text: str = "Read in one night.", **headers: str) -> int:
        document = json.dumps({"rating": 4, "reviewer": "Ana", "text": text}).encode()
        status, _, body = server.insist("POST", f"/books/{book}/reviews", document, **headers)
        assert status == 201, body
        return int(json.loads(body)["id"])

    return make


@pytest.fixture
def keys() -> Callable[..., str]:
    """Run `flask keys` for a running service, and return its output."""

    def call(server: Any, *arguments: str) -> str:
        completed = subprocess.run(
            [sys.executable, "-m", "flask", "--app", str(ROOT / "wsgi.py"), "keys", *arguments],
            env=server.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        return completed.stdout

    return call


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], Any]:
    """Wait until a condition holds, and return its value."""

    return wait_until


@pytest.fixture
def listen() -> Iterator[Callable[[Flask], Listener]]:
    """A factory of listeners whose reader has read the log once."""
    running: list[Listener] = []
    before = set(threading.enumerate())

    def start(app: Flask) -> Listener:
        listener = Listener(app)
        running.append(listener)
        listener.reader.start()
        listener.wait(lambda: bool(listener.resets))
        return listener

    yield start
    for listener in running:
        listener.reader.stop()
    started = set(threading.enumerate()) - before
    for thread in started:
        if thread.name == "events":
            thread.join(PATIENCE)
            assert not thread.is_alive()


@pytest.fixture
def no_error_in_the_log(live: Any) -> Iterator[None]:
    """No client behaviour may cause an error in the log."""
    before = len(live.log.read_text())
    yield
    logged = live.log.read_text()[before:]
    assert "Traceback" not in logged, logged


@pytest.fixture
def redis_server() -> Iterator[Redis]:
    """A Redis server of the test's own, which it may kill or freeze."""
    with Redis() as server:
        yield server


@pytest.fixture
def worker(make_app: Any, sqlite_database: str, redis_server: Redis) -> Flask:
    """An application with this Redis server."""
    app: Flask = make_app(sqlite_database, redis_url=redis_server.url)
    return app


@pytest.fixture
def hub(app: Flask) -> Callable[[Callable[[FollowedLog], Coroutine[Any, Any, None]]], None]:
    """Run a scenario with a hub in an event loop."""

    def run(scenario: Callable[[FollowedLog], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            await scenario(FollowedLog(app))

        asyncio.run(main())

    return run
