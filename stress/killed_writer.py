"""A writer that is killed (-9) between its commit and its invalidation.

As a module it is a process that prepares the application once, and then forks a writer for each
review, as `python -m stress.killed_writer`.
"""

import os
import signal
import subprocess
import sys
import time
from typing import NoReturn, Self

import orjson

from app.cache.response_cache import ResponseCache
from bookreview import services
from stress.attributes import replace
from stress.service import ROOT, environment


class KilledWriter:
    """Adds reviews to books; each writer leaves only what its transaction has committed."""

    def __init__(self, **settings: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "stress.killed_writer"],
            env=environment(**settings),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def add_review(self, book: int, text: str) -> float:
        """Add a review, and return when its writer had committed, by ``time.monotonic()``."""
        request, answer = self._process.stdin, self._process.stdout
        if request is None or answer is None:
            raise RuntimeError("the process has no pipes")
        request.write(orjson.dumps([book, text]) + b"\n")
        request.flush()
        line = answer.readline()
        if not line:
            raise SystemExit("a writer failed, or was not killed")
        return float(line)


def fork_writers() -> None:
    """Fork a writer for each line of the standard input, and wait for its end."""
    from wsgi import app  # noqa: PLC0415 - it reads its settings from the environment

    replace(ResponseCache, "invalidate", crash)
    for line in sys.stdin.buffer:
        writer = os.fork()
        if not writer:
            book, text = orjson.loads(line)
            with app.app_context():
                services.add_review(book, 5, "Ana", text)
            os._exit(1)
        _, status = os.waitpid(writer, 0)
        if not os.WIFSIGNALED(status):
            raise SystemExit("the writer was not killed")


def crash(*_: object) -> NoReturn:
    """Print the time, and kill this process."""
    print(time.monotonic(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


if __name__ == "__main__":
    fork_writers()
