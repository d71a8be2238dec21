"""`flask webhooks deliver`: a process that delivers events to webhooks."""

import asyncio
import logging
import os
import resource
import signal

import click
import uvloop
from flask import Flask, current_app
from flask.cli import with_appcontext

from app.services import services_of
from app.webhooks.deliverer import Deliverer
from app.webhooks.election import make_lock
from app.webhooks.http_client import SystemResolver

WATCH_SECONDS = 0.5


@click.command()
@click.option("--until-exit-of", "pid", type=int, help="End when the process with this id does.")
@with_appcontext
def deliver(pid: int | None) -> None:
    """Send events to webhooks until interrupted. Of several such processes one does it."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_deliver(app, pid))
    logging.shutdown()
    # A thread that waits for a resolver or a database that hangs must not delay the exit.
    os._exit(0)


async def _deliver(app: Flask, pid: int | None) -> None:
    lock = make_lock(services_of(app).settings.database_url)
    deliverer = Deliverer(app, lock, SystemResolver())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, deliverer.stop)
    watch = asyncio.create_task(_stop_with(pid, deliverer)) if pid else None
    await deliverer.run()
    if watch is not None:
        watch.cancel()


async def _stop_with(pid: int, deliverer: Deliverer) -> None:
    while _is_running(pid):
        await asyncio.sleep(WATCH_SECONDS)
    deliverer.stop()


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
