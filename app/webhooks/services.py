"""Writes of webhooks, each in one transaction. Nothing of them is cached, so nothing else follows.

The deliverer writes the same rows, by statements that expect the version or the cursor which it
had read. So what is written here, while the row is locked, is never undone by the result of a
request that was being sent.
"""

import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from sqlalchemy import func, select

from app.db.engine import dialect_name
from app.db.types import now
from app.errors import ApiError, Conflict, PreconditionFailed, Unprocessable, WindowPassed
from app.events import log as events
from app.events.log import Cursor
from app.extensions import db
from app.services import current_services
from app.unit_of_work import commit, end_unchanged
from app.webhooks import targets
from app.webhooks.models import Webhook
from app.webhooks.queries import WEBHOOK_COLUMNS, shown_version, webhook_not_found
from app.webhooks.schemas import NOW
from app.webhooks.secrets import encrypt_secret, new_secret

WEBHOOKS_MAX = 1_000
"""The deliverer keeps a queue for each."""
ADD_LOCK = 2_003_790_443
"""The advisory lock of PostgreSQL for those who add a webhook; any number of our own."""
Versions = Collection[str] | None
"""The versions that a write accepts; None: every version."""


def add_webhook(url: str, types: list[str], description: str | None = None) -> Any:
    """Add a webhook for the events after this moment; return it with its ``secret``.

    Raise Unprocessable for a URL that is not allowed, or Conflict if there are WEBHOOKS_MAX.
    """
    _check_url(url)
    start = _find_cursor(NOW)  # before the session locks SQLite: this may write
    if dialect_name() == "postgresql":  # or simultaneous requests would not count each other's
        db.session.execute(select(func.pg_advisory_xact_lock(ADD_LOCK)))
    if (db.session.scalar(select(func.count(Webhook.id))) or 0) >= WEBHOOKS_MAX:
        db.session.rollback()
        raise Conflict(f"There are {WEBHOOKS_MAX} webhooks, which is the maximum: delete one.")
    secret, at = new_secret(), now()
    webhook = Webhook(
        url=url,
        types=types,
        description=description,
        secret=encrypt_secret(secret, current_services().settings.secret_key),
        version=1,
        enabled=True,
        created_at=at,
        updated_at=at,
        cursor_log=start.log,
        cursor_position=start.position,
    )
    db.session.add(webhook)
    commit()
    return _shown(webhook, secret=secret)


def update_webhook(webhook_id: int, versions: Versions, **changes: Any) -> Any:
    """Set some of url, types, description and enabled.

    Another URL, or ``enabled``, forgets the failures, so that the next attempt is made at once.
    Raise NotFound, PreconditionFailed if it has none of the ``versions``, Unprocessable for a URL
    that is not allowed, or Conflict if it would be enabled but its next event is gone.
    """
    if "url" in changes:
        _check_url(changes["url"])
    with _locked(webhook_id, versions) as webhook:
        if changes.get("enabled") and not webhook.enabled:
            _check_window(webhook)
        changed = {name for name, value in changes.items() if value != getattr(webhook, name)}
        tries_again = "url" in changed or (changes.get("enabled") and _has_failed(webhook))
        if not changed and not tries_again:
            end_unchanged()
            return _shown(webhook)
        for name in changed:
            setattr(webhook, name, changes[name])
        if "enabled" in changed:
            webhook.disabled_reason = None
        if tries_again:
            _forget_failures(webhook)
        return _save(webhook)


def delete_webhook(webhook_id: int, versions: Versions = None) -> None:
    """Delete a webhook and its deliveries; raise NotFound or PreconditionFailed."""
    with _locked(webhook_id, versions) as webhook:
        db.session.delete(webhook)
        commit()


def replay(webhook_id: int, after: str) -> Any:
    """Let the next event be the first one after the cursor ``after``, or after NOW.

    Raise NotFound, or WindowPassed if some of the events after it may no longer be stored.
    """
    with _locked(webhook_id) as webhook:
        cursor = _find_cursor(after)
        webhook.cursor_log, webhook.cursor_position = cursor
        _forget_failures(webhook)
        return _save(webhook)


def rotate_secret(webhook_id: int, grace: int) -> Any:
    """Give a webhook another secret and return it with that as ``secret``; raise NotFound.

    For ``grace`` seconds the old one signs too.
    """
    with _locked(webhook_id) as webhook:
        secret = new_secret()
        webhook.old_secret = webhook.secret if grace else None
        webhook.old_secret_until = now() + timedelta(seconds=grace) if grace else None
        webhook.secret = encrypt_secret(secret, current_services().settings.secret_key)
        webhook.version += 1
        commit()
        return _shown(webhook, secret=secret)


def request_test(webhook_id: int) -> Any:
    """Let the deliverer send a test event, and return its ``message_id``; raise NotFound.

    While one is waiting to be sent there is no second one.
    """
    with _locked(webhook_id) as webhook:
        webhook.test_id = webhook.test_id or f"test-{secrets.token_hex(12)}"
        commit()
        return SimpleNamespace(message_id=webhook.test_id)


def _check_url(url: str) -> None:
    try:
        targets.parse_target(url, private=current_services().settings.webhook_private_targets)
    except ValueError as error:
        raise Unprocessable({"url": [f"The URL {error}."]}, "body") from None


@contextmanager
def _locked(webhook_id: int, versions: Versions = None) -> Iterator[Webhook]:
    """Lock a webhook for a write in this block; an ApiError rolls it back.

    Raise NotFound, or PreconditionFailed when the version is not one of ``versions``.
    """
    try:
        webhook = db.session.scalar(
            select(Webhook).where(Webhook.id == webhook_id).with_for_update()
        )
        if webhook is None:
            raise webhook_not_found(webhook_id)
        if versions is not None and _version(webhook) not in versions:
            raise PreconditionFailed("The webhook has changed since it was read.")
        yield webhook
    except ApiError:
        db.session.rollback()
        raise


def _find_cursor(text: str) -> Cursor:
    """Return a cursor of which all events that follow are stored; raise WindowPassed."""
    head = current_services().sequencer.head()
    if text == NOW:
        return Cursor(head.log, head.position)
    cursor = events.parse_cursor(text)
    head.check(cursor)
    return cursor


def _check_window(webhook: Webhook) -> None:
    try:
        _find_cursor(events.format_cursor(webhook.cursor_log, webhook.cursor_position))
    except WindowPassed:
        detail = "Its next event is no longer stored: choose where to go on with a replay first."
        raise Conflict(detail) from None


def _has_failed(webhook: Webhook) -> bool:
    return bool(webhook.failed_attempts or webhook.failing_since or webhook.next_attempt_at)


def _forget_failures(webhook: Webhook) -> None:
    webhook.failed_attempts = 0
    webhook.failing_since = webhook.next_attempt_at = None


def _save(webhook: Webhook) -> Any:
    """Commit a change, of which the deliverer learns by the version; return what is shown."""
    webhook.version += 1
    webhook.updated_at = now()
    commit()
    return _shown(webhook)


def _version(webhook: Webhook) -> str:
    return shown_version(webhook.version, webhook.failing_since, webhook.disabled_reason)


def _shown(webhook: Webhook, **more: Any) -> Any:
    """Return the webhook as a response shows it: with the version that is its ETag."""
    values = {column.key: getattr(webhook, column.key) for column in WEBHOOK_COLUMNS}
    return SimpleNamespace(**values, version=_version(webhook), **more)
