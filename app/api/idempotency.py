"""`Idempotency-Key`: a repeated POST returns the response to the first one and writes nothing.

The transaction of the write begins by inserting a row that claims the key, and later stores the
response in that row: either both are committed or neither is. Of two simultaneous requests, the
second waits at the unique constraint until the first transaction has ended.
"""

import hashlib
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, NamedTuple

from flask import Response, request
from sqlalchemy import JSON, LargeBinary, String, UniqueConstraint, delete, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Mapped, mapped_column

from app.auth.guard import client_context
from app.db.engine import dialect_name
from app.db.statements import dialect_insert
from app.db.types import UtcDateTime, now
from app.encryption import CannotDecrypt, decrypt, encrypt
from app.errors import BadRequest, Conflict, IdempotencyKeyReused, RequestInProgress
from app.extensions import Base, db
from app.http.request import read_bytes
from app.http.route_options import View, options_of
from app.services import current_services
from app.unit_of_work import deferred_commit

KEY_HEADER = "Idempotency-Key"
KEY = re.compile(r"[!-+\--~]{1,255}")
"""No comma: that is how two header lines arrive, which could be those of two requests."""
RETENTION = timedelta(hours=24)
PURGE_BATCH = 10
"""Each stored response deletes up to this many expired ones, so that they never accumulate."""
STORED_HEADERS = ("Cache-Control", "Content-Type", "ETag", "Location")
PURPOSE = "response to the first request with an Idempotency-Key"
LOCK_NOT_AVAILABLE = "55P03"

MakeResponse = Callable[[], tuple[Response, bool]]
"""Returns a response, and whether to commit and store it; otherwise its writes are rolled back."""


class StoredResponse(Base):
    """The response to the first request of a client with a key."""

    __tablename__ = "first_answer"  # renaming it would break a release that still runs
    __table_args__ = (UniqueConstraint("client", "key"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    client: Mapped[str] = mapped_column(String(80))
    key: Mapped[str] = mapped_column(String(255))
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary(32))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, index=True)
    # The response is NULL only within the transaction that inserts the row.
    status: Mapped[int | None]
    headers: Mapped[dict[str, str] | None] = mapped_column(JSON)
    body: Mapped[bytes | None] = mapped_column(LargeBinary)


class Claim(NamedTuple):
    """A client's key and the fingerprint of the request that it was sent with."""

    client: str
    key: str
    fingerprint: bytes
    is_private: bool
    """Whether the body is stored encrypted: it may contain a secret."""


def idempotent(view: View) -> View:
    """Run ``view`` once for each Idempotency-Key; without the header, every time."""

    @wraps(view)
    def run(**path: Any) -> Response:
        if KEY_HEADER not in request.headers or request.method != "POST":
            return view(**path)
        is_private = options_of(view).is_private
        return respond_once(lambda: (view(**path), True), is_private=is_private)

    return run


def respond_once(make: MakeResponse, *, is_private: bool = False) -> Response:
    """Return the response stored for the request's Idempotency-Key, else that of ``make``."""
    claim = _claim(request.headers[KEY_HEADER], is_private=is_private)
    with deferred_commit() as commit:
        if not _insert(claim):
            return _replay(claim)
        response, succeeded = make()
        if succeeded:
            _store(claim, response)
            commit()
    return response


def _claim(key: str, *, is_private: bool) -> Claim:
    if not KEY.fullmatch(key):
        raise BadRequest(
            "Send one Idempotency-Key of 1 to 255 visible ASCII characters without a comma."
        )
    target = f"{request.method} {request.full_path}\n".encode()
    fingerprint = hashlib.sha256(target + read_bytes()).digest()
    return Claim(client_context(request.environ).client.name, key, fingerprint, is_private)


def _insert(claim: Claim) -> bool:
    """Insert the claim; return False if a response to its key is stored."""
    values = {"fingerprint": claim.fingerprint, "created_at": now(), "status": None}
    insert = dialect_insert(dialect_name(), StoredResponse).values(
        client=claim.client, key=claim.key, **values
    )
    statement = insert.on_conflict_do_update(
        index_elements=["client", "key"],
        set_=values,
        where=StoredResponse.created_at < now() - RETENTION,
    )
    try:
        return db.session.scalar(statement.returning(StoredResponse.id)) is not None
    except OperationalError as error:
        if getattr(error.orig, "pgcode", None) != LOCK_NOT_AVAILABLE:
            raise
        detail = "The first request with this Idempotency-Key is still running."
        raise RequestInProgress(detail) from None


def _replay(claim: Claim) -> Response:
    stored = db.session.scalars(select(StoredResponse).where(*_matches(claim))).one()
    if stored.fingerprint != claim.fingerprint:
        raise IdempotencyKeyReused("This Idempotency-Key was sent before with another request.")
    body = stored.body or b""
    response = Response(_decrypt(body) if claim.is_private else body, stored.status, stored.headers)
    response.headers["Idempotency-Replayed"] = "true"
    return response


def _store(claim: Claim, response: Response) -> None:
    """Store the response in the row of the claim, and delete some expired rows."""
    headers = {name: response.headers[name] for name in STORED_HEADERS if name in response.headers}
    body = response.get_data()
    if claim.is_private:
        body = encrypt(body, current_services().settings.secret_key, PURPOSE)
    values = {"status": response.status_code, "headers": headers, "body": body}
    statement = update(StoredResponse).where(*_matches(claim)).values(values)
    if db.session.scalar(statement.returning(StoredResponse.id)) is None:
        raise RuntimeError("the service rolled the claim of the Idempotency-Key back")
    expired = select(StoredResponse.id).where(StoredResponse.created_at < now() - RETENTION)
    batch = expired.limit(PURGE_BATCH).with_for_update(skip_locked=True)
    db.session.execute(delete(StoredResponse).where(StoredResponse.id.in_(batch)))


def _decrypt(body: bytes) -> bytes:
    try:
        return decrypt(body, current_services().settings.secret_key, PURPOSE)
    except CannotDecrypt:
        detail = "The response to the first request is lost: SECRET_KEY has changed since."
        raise Conflict(detail) from None


def _matches(claim: Claim) -> tuple[Any, Any]:
    return StoredResponse.client == claim.client, StoredResponse.key == claim.key
