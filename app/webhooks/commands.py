"""`flask webhooks ...`: the same as the routes, for operators."""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click
from flask.cli import AppGroup
from marshmallow import Schema

from app.api.pagination import PageRequest
from app.api.validation import body_loader
from app.commands.keys import parsed_by
from app.errors import ApiError, Unprocessable
from app.events.models import TYPES
from app.parsers import duration
from app.webhooks import queries, services
from app.webhooks.deliver_command import deliver
from app.webhooks.schemas import (
    NewWebhookSchema,
    ReplaySchema,
    RotationSchema,
    WebhookChangeSchema,
)

T = TypeVar("T")
TEST_WAIT_SECONDS, POLL_SECONDS = 30.0, 0.2
STORE_IT = "Store the secret now: it is not shown again."

webhooks = AppGroup("webhooks", help="Create, change, test and replay webhooks; deliver events.")
webhooks.add_command(deliver)
id_argument = click.argument("webhook_id", metavar="ID", type=click.IntRange(min=1))
type_option = click.option(
    "--type",
    "types",
    multiple=True,
    type=click.Choice(TYPES),
    metavar="TYPE",
    help="A type of events to send, such as stock.changed; can be repeated. None: all types.",
)


def _do(service: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """Call a service; let what it refuses end the command."""
    try:
        return service(*arguments, **named)
    except Unprocessable as error:
        problems = (
            f"{pointer[1:]}: {detail}".removeprefix(": ") for pointer, detail in error.listed
        )
        raise click.ClickException(" ".join(problems)) from None
    except ApiError as error:
        raise click.ClickException(error.detail) from None


def _checked(schema: type[Schema], **values: Any) -> dict[str, Any]:
    """Check the values by the rules of the routes."""
    return _do(body_loader(schema), values)


@webhooks.command()
@click.argument("url")
@type_option
@click.option("--description", help="What it is for.")
def create(url: str, types: tuple[str, ...], description: str | None) -> None:
    """Send the events that follow to URL. Prints the secret of the signatures."""
    values = _checked(NewWebhookSchema, url=url, types=list(types), description=description)
    webhook = _do(services.add_webhook, **values)
    _show_secret(webhook)


def _show_secret(webhook: Any) -> None:
    click.echo(f"Webhook {webhook.id} sends {_types(webhook)} to {webhook.url}.", err=True)
    click.echo(STORE_IT, err=True)
    click.echo(webhook.secret)


@webhooks.command("list")
def list_() -> None:
    """List all webhooks."""
    page = PageRequest(limit=2 * services.WEBHOOKS_MAX, list_name="webhooks")
    click.echo(_row("id", "state", "url", "types"))
    for webhook in queries.webhooks(page).items:
        click.echo(_row(webhook.id, _state(webhook), webhook.url, _types(webhook)))


def _row(number: Any, state: str, url: str, types: str) -> str:
    return f"{number!s:<6}  {state:<8}  {url:<40}  {types}"


def _state(webhook: Any) -> str:
    if not webhook.enabled:
        return "disabled"
    return "failing" if webhook.failing_since else "enabled"


def _types(webhook: Any) -> str:
    return ", ".join(webhook.types) or "all events"


@webhooks.command()
@id_argument
def show(webhook_id: int) -> None:
    """Show one webhook. Times are in UTC."""
    _show(_do(queries.webhook, webhook_id))


def _show(webhook: Any) -> None:
    _print(
        {
            "id": webhook.id,
            "url": webhook.url,
            "types": _types(webhook),
            "description": webhook.description,
            "state": _state(webhook),
            "disabled because": webhook.disabled_reason,
            "failing since": _time(webhook.failing_since),
            "created": _time(webhook.created_at),
            "updated": _time(webhook.updated_at),
        }.items()
    )


def _print(lines: Iterable[tuple[str, Any]]) -> None:
    for name, value in lines:
        if value not in {None, ""}:
            click.echo(f"{name + ':':<18}{value}")


def _time(time: datetime | None) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if time else ""


@webhooks.command()
@id_argument
@click.option("--url", help="Where events are sent.")
@type_option
@click.option("--all-types", is_flag=True, help="Send events of all types.")
@click.option("--description", help="What it is for.")
@click.option(
    "--enable/--disable",
    "enabled",
    default=None,
    help="Enable it again, and forget its failures; or send nothing for now.",
)
def update(
    webhook_id: int, types: tuple[str, ...], *, all_types: bool, **options: str | bool | None
) -> None:
    """Change a webhook."""
    if types and all_types:
        raise click.UsageError("--type and --all-types exclude each other")
    changes: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if types or all_types:
        changes["types"] = list(types)
    checked = _checked(WebhookChangeSchema, **changes)
    _show(_do(services.update_webhook, webhook_id, None, **checked))


@webhooks.command()
@id_argument
def delete(webhook_id: int) -> None:
    """Delete a webhook and its deliveries."""
    _do(services.delete_webhook, webhook_id)
    click.echo(f"Webhook {webhook_id} is deleted.", err=True)


@webhooks.command()
@id_argument
@click.argument("after", metavar="CURSOR|now")
def replay(webhook_id: int, after: str) -> None:
    """Send the events after CURSOR again; `now` leaves out all up to now."""
    webhook = _do(services.replay, webhook_id, **_checked(ReplaySchema, after=after))
    hint = "" if webhook.enabled else " It is disabled: see --enable of `flask webhooks update`."
    click.echo(f"Webhook {webhook_id} goes on after {after}.{hint}", err=True)


@webhooks.command()
@id_argument
@click.option(
    "--grace",
    metavar="TIME",
    default="1d",
    show_default=True,
    callback=parsed_by(duration),
    help="How long requests are signed with the old secret too, up to 7d.",
)
def rotate(webhook_id: int, grace: timedelta) -> None:
    """Give a webhook another secret and print it."""
    values = _checked(RotationSchema, grace=int(grace.total_seconds()))
    _show_secret(_do(services.rotate_secret, webhook_id, **values))


@webhooks.command()
@id_argument
def test(webhook_id: int) -> None:
    """Send a test event and print what came of it; exit 1 unless it was accepted."""
    message_id = _do(services.request_test, webhook_id).message_id
    end = time.monotonic() + TEST_WAIT_SECONDS
    while (delivery := queries.delivery(webhook_id, message_id)) is None:
        if time.monotonic() >= end:
            hint = "does `flask webhooks deliver` run?"
            raise click.ClickException(f"{message_id} waits to be sent: {hint}")
        time.sleep(POLL_SECONDS)
    click.echo(_delivery(delivery))
    if delivery.error is not None:
        raise SystemExit(1)


@webhooks.command()
@id_argument
@click.option("--limit", type=click.IntRange(1, 1_000), default=20, show_default=True)
def deliveries(webhook_id: int, limit: int) -> None:
    """List the latest attempts to send to a webhook, newest first. Times are in UTC."""
    page = PageRequest(limit=limit, list_name="deliveries")
    for delivery in _do(queries.deliveries, webhook_id, page).items:
        click.echo(_delivery(delivery))


def _delivery(delivery: Any) -> str:
    outcome = delivery.status if delivery.error is None else delivery.error
    what = f"{delivery.type:<16}  {delivery.message_id}  attempt {delivery.attempt}"
    return f"{_time(delivery.at)}  {what}  {delivery.duration_ms} ms  {outcome}"
