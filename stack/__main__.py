"""Run the service on PostgreSQL and Redis: `python -m stack`, or `make stack`."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from stack.servers import CouldNotStartError, Postgres, Redis
from stack.watchdog import Watchdog

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "instance/stack"


def main() -> int:
    """Serve until a signal stops it, and return the exit code of gunicorn."""
    signal.signal(signal.SIGTERM, exit_on_signal)
    try:
        with (
            Postgres(DATA / "postgres", durable=True) as postgres,
            Redis(DATA / "redis", save_rules="60 1") as cache,
        ):
            return serve({"DATABASE_URL": postgres.url, "REDIS_URL": cache.url})
    except CouldNotStartError as error:
        click.echo(error, err=True)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def serve(urls: dict[str, str]) -> int:
    """Migrate the database and run gunicorn."""
    environment = {"WEB_CONCURRENCY": "4", **os.environ, **urls}
    prepared = subprocess.run(python("flask", "prepare"), env=environment, cwd=ROOT, check=False)  # noqa: S603
    if prepared.returncode:
        return prepared.returncode
    for name, url in urls.items():
        click.echo(f"{name}={url}")
    click.echo("Ctrl-C stops all servers; the data stays in instance/stack/.")
    return gunicorn(environment)


def gunicorn(environment: dict[str, str]) -> int:
    """Run gunicorn, forward SIGTERM and SIGINT to it, and return its exit code."""
    child = subprocess.Popen(  # noqa: S603  # constant arguments only
        python("gunicorn", "-k", "asgi", "--reuse-port", "asgi:app"),
        env=environment,
        cwd=ROOT,
        start_new_session=True,  # else Ctrl-C would reach it twice: terminal and us
    )
    watchdog = Watchdog(signal.SIGTERM)
    watchdog.watch(child.pid)
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: child.send_signal(number))
        return exit_code(child.wait())
    finally:
        if child.poll() is not None:
            watchdog.release()
        watchdog.close()


def python(module: str, *arguments: str) -> list[str]:
    """Return the command line that runs a module with this Python."""
    return [sys.executable, "-m", module, *arguments]


def exit_code(returncode: int) -> int:
    """Convert a return code of Popen to that of a shell: 128 + N for signal N."""
    return returncode if returncode >= 0 else 128 - returncode


def exit_on_signal(number: int, _frame: FrameType | None) -> NoReturn:
    """Exit by an exception, so that every `finally` runs."""
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
