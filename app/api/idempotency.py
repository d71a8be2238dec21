"""`Idempotency-Key`: a POST that is sent again gets the first answer again.

The transaction of the write begins with a row that claims the key and ends with the answer in
that row. So both are there or neither is, and of two requests at once the second waits at the
unique constraint until it is known whether the first has written.
"""

import hashlib
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from http import HTTPStatus
from typing import Any, NamedTuple

from flask import Flask, Response, request
from sqlalchemy import JSON, LargeBinary, String, UniqueConstraint, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Mapped, mapped_column

from app.auth.guard import CLIENT
from app.cache.tags import one_commit
from app.db.types import UtcDateTime, now
from app.errors import RETRY_AFTER_SECONDS, ApiError, BadRequest, Conflict
from app.extensions import Base, db
from app.http.request import read_bytes
from app.http.route_options import View, options_of

KEY_HEADER = "Idempotency-Key"
KEY = re.compile(r"[!-~]{1,255}")
KEPT_FOR = timedelta(hours=24)
PURGED_AT_ONCE = 10
"""Each answer that comes in takes so many out that are too old: they never pile up."""
KEPT_HEADERS = ("Content-Type", "ETag", "Location")
LOCK_NOT_AVAILABLE = "55P03"
INSERT: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


class FirstAnswer(Base):
    """The answer to the first request with this key of this client."""

    __tablename__ = "first_answer"
    __table_args__ = (UniqueConstraint("client", "key"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    client: Mapped[str] = mapped_column(String(80))
    key: Mapped[str] = mapped_column(String(255))
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary(32))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, index=True)
    # Empty only until the transaction that made the row ends.
    status: Mapped[int | None]
    headers: Mapped[dict[str, str] | None] = mapped_column(JSON)
    body: Mapped[bytes | None] = mapped_column(LargeBinary)


class KeyReused(ApiError):
    """The key was sent with another request."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class StillAtWork(Conflict):
    """The first request with this key has not ended yet."""

    def headers(self) -> dict[str, str]:
        """Tell when to come back."""
        return {"Retry-After": str(RETRY_AFTER_SECONDS)}


class Claim(NamedTuple):
    """A key, whose it is, and what it was sent with."""

    client: str
    key: str
    fingerprint: bytes


def once(view: View) -> View:
    """Let ``view`` write once for each Idempotency-Key."""

    @wraps(view)
    def answered(**path: Any) -> Response:
        if KEY_HEADER not in request.headers or request.method != "POST":
            return view(**path)
        return once_for(lambda: (view(**path), True))

    return answered


def once_for(make: Callable[[], tuple[Response, bool]]) -> Response:
    """Answer the request at hand, which has an Idempotency-Key, by ``make`` or as the first time.

    ``make`` says also whether its answer is to be kept; if not, what it wrote is taken back.
    """
    return _first_or_again(_claimed_by(request.headers[KEY_HEADER]), make)


def _claimed_by(key: str) -> Claim:
    if not KEY.fullmatch(key):
        raise BadRequest("An Idempotency-Key has 1 to 255 visible ASCII characters.")
    asked = f"{request.method} {request.full_path}\n".encode()
    fingerprint = hashlib.sha256(asked + read_bytes()).digest()
    return Claim(request.environ[CLIENT].name, key, fingerprint)


def _first_or_again(claim: Claim, make: Callable[[], tuple[Response, bool]]) -> Response:
    with one_commit() as commit:
        if not _take(claim):
            return _again(claim)
        answer, kept = make()
        if kept:
            _keep(claim, answer)
            commit()
    return answer


def _take(claim: Claim) -> bool:
    """Put the claim into the transaction at hand; False if an answer to its key is there."""
    insert = INSERT[db.engine.dialect.name](FirstAnswer)
    fresh = {"fingerprint": claim.fingerprint, "created_at": now(), "status": None}
    statement = insert.values(client=claim.client, key=claim.key, **fresh).on_conflict_do_update(
        index_elements=["client", "key"],
        set_=fresh,
        where=FirstAnswer.created_at < now() - KEPT_FOR,
    )
    try:
        return db.session.scalar(statement.returning(FirstAnswer.id)) is not None
    except OperationalError as error:
        if getattr(error.orig, "pgcode", None) == LOCK_NOT_AVAILABLE:
            raise StillAtWork("The first request with this Idempotency-Key still runs.") from None
        raise


def _again(claim: Claim) -> Response:
    first = db.session.scalars(select(FirstAnswer).where(*_is(claim))).one()
    if first.fingerprint != claim.fingerprint:
        raise KeyReused("This Idempotency-Key was sent before, with another request.")
    answer = Response(first.body, first.status, first.headers)
    answer.headers["Idempotency-Replayed"] = "true"
    return answer


def _keep(claim: Claim, answer: Response) -> None:
    """Write the answer into the claim's row, and remove some rows that are too old."""
    headers = {name: answer.headers[name] for name in KEPT_HEADERS if name in answer.headers}
    values = {"status": answer.status_code, "headers": headers, "body": answer.get_data()}
    written = update(FirstAnswer).where(*_is(claim)).values(values).returning(FirstAnswer.id)
    if db.session.scalar(written) is None:
        raise RuntimeError("the service has rolled back and gone on: the key is not claimed")
    old = select(FirstAnswer.id).where(FirstAnswer.created_at < now() - KEPT_FOR)
    some = old.limit(PURGED_AT_ONCE).with_for_update(skip_locked=True)
    db.session.execute(delete(FirstAnswer).where(FirstAnswer.id.in_(some)))


def _is(claim: Claim) -> tuple[Any, Any]:
    return FirstAnswer.client == claim.client, FirstAnswer.key == claim.key


def init_app(app: Flask) -> None:
    """Wrap the view of every POST of the API; call it when all routes are there."""
    for rule in app.url_map.iter_rules():
        view: Any = app.view_functions[rule.endpoint]
        if "POST" in (rule.methods or ()) and options_of(view).response is not None:
            app.view_functions[rule.endpoint] = once(view)
