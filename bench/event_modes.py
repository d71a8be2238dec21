"""The service with other ways to write events, or with the time of each commit in a header.

gunicorn loads it as ``bench.event_modes:load('wsgi', 'one lock')``.
"""

import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from flask import Flask, Response, g
from sqlalchemy import event
from sqlalchemy.orm import Session

from app import factory
from app.db.types import now
from app.events import log as event_log
from app.events.log import NewEvent
from app.events.sequencer import Sequencer
from app.events.statements import INSERT_EVENTS
from app.extensions import db
from app.json import encode
from bookreview import services as reviews
from inventory import services as products
from stress.attributes import replace

COMMITTED = "X-Committed"
"""When the transaction of a request was committed, by ``time.monotonic``."""


def load(module: str, mode: str) -> Any:
    """Change the service, then return ``app`` of ``module``."""
    MODES[mode]()
    return import_module(module).app


def _write_no_events() -> None:
    """Neither build nor write the events of reviews and of the stock."""
    replace(reviews, "review_created", lambda *_: None)
    replace(products, "events_of_product", lambda *_: [])
    replace(event_log, "append", lambda _: None)
    replace(Sequencer, "wake", lambda *_: None)


def _write_under_one_lock() -> None:
    """Let writers take positions from the row of the head, which they lock until they commit."""
    replace(event_log, "append", _append_with_positions)
    replace(Sequencer, "wake", lambda *_: None)


def _append_with_positions(new: Sequence[NewEvent]) -> None:
    db.session.flush()
    connection, created_at = db.session.connection(), now()
    _, last = event_log._advance(connection, len(new))  # noqa: SLF001
    rows = [
        {
            "position": position,
            "type": each.type,
            "topic": each.topic,
            "payload": encode(each.data).decode(),
            "context": None if each.context is None else encode(each.context).decode(),
            "created_at": created_at,
        }
        for position, each in enumerate(new, last - len(new) + 1)
    ]
    connection.execute(INSERT_EVENTS, rows)


def _tell_commits() -> None:
    create = factory.create_app

    def create_app(*arguments: Any) -> Flask:
        app = create(*arguments)
        app.after_request(_add_header)
        return app

    replace(factory, "create_app", create_app)
    event.listen(Session, "after_commit", lambda _: setattr(g, "committed", time.monotonic()))


def _add_header(response: Response) -> Response:
    response.headers[COMMITTED] = str(g.get("committed", ""))
    return response


NONE, LOCK, EVENTS, TIMED = "no events", "one lock", "events", "timed"
MODES = {
    NONE: _write_no_events,
    LOCK: _write_under_one_lock,
    EVENTS: lambda: None,
    TIMED: _tell_commits,
}
