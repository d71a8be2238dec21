"""The service on a real PostgreSQL and Redis: `python -m stack`, or `make stack`."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from stack.guard import Guard
from stack.servers import CouldNotStartError, Postgres, Redis

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "instance/stack"


def main() -> int:
    """Serve until told to stop, and return gunicorn's exit code."""
    signal.signal(signal.SIGTERM, leave)
    try:
        with (
            Postgres(KEPT / "postgres", durable=True) as postgres,
            Redis(KEPT / "redis", save_rules="60 1") as cache,
        ):
            return serve({"DATABASE_URL": postgres.url, "REDIS_URL": cache.url})
    except CouldNotStartError as error:
        click.echo(error, err=True)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def serve(urls: dict[str, str]) -> int:
    """Prepare the database and run gunicorn on it."""
    environment = {"WEB_CONCURRENCY": "4", **os.environ, **urls}
    prepared = subprocess.run(python("flask", "prepare"), env=environment, cwd=ROOT, check=False)  # noqa: S603
    if prepared.returncode:
        return prepared.returncode
    for name, url in urls.items():
        click.echo(f"{name}={url}")
    click.echo("Ctrl-C stops it all; the data stays in instance/stack/.")
    return gunicorn(environment)


def gunicorn(environment: dict[str, str]) -> int:
    """Run gunicorn, hand on the signals that end it, and return its exit code."""
    child = subprocess.Popen(  # noqa: S603  # our own words only
        python("gunicorn", "-k", "asgi", "--reuse-port", "asgi:app"),
        env=environment,
        cwd=ROOT,
        start_new_session=True,  # or it would hear Ctrl-C twice, from the terminal and from us
    )
    guard = Guard(signal.SIGTERM)
    guard.watch(child.pid)
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: child.send_signal(number))
        return exit_code(child.wait())
    finally:
        if child.poll() is not None:
            guard.rest()
        guard.close()


def python(module: str, *words: str) -> list[str]:
    """Return the words that run a module with this same Python."""
    return [sys.executable, "-m", module, *words]


def exit_code(returncode: int) -> int:
    """Return a child's exit code as a shell would give it: 128 + N for signal N."""
    return returncode if returncode >= 0 else 128 - returncode


def leave(number: int, _frame: FrameType | None) -> NoReturn:
    """Turn a signal into an exit that runs every `finally` on its way."""
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
