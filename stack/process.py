"""A server on 127.0.0.1 that ends when this process ends, even if it was killed."""

import contextlib
import importlib.util
import random
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from stack.watchdog import Watchdog

# Outside the range of ephemeral ports: no outgoing connection takes the port while the server
# is stopped on purpose.
PORTS = range(20_000, 32_000)
_given: set[int] = set()
"""The ports of earlier servers: one that is stopped now may start again."""


class CouldNotStartError(RuntimeError):
    """A server exited, or was not ready in time."""


class Server:
    """Run one child process, with a watchdog that stops it when this process ends.

    Without a ``folder`` it uses a temporary one, which ``close`` removes.
    """

    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    kill_signal: ClassVar[signal.Signals] = signal.SIGKILL
    timeout: ClassVar[float] = 30  # seconds to become ready, and again to stop
    host = "127.0.0.1"
    """The address to listen on."""

    def __init__(self, folder: Path | None = None) -> None:
        self.temporary = folder is None
        self.folder = folder.resolve() if folder else Path(tempfile.mkdtemp(prefix="bookstall-"))
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: Watchdog | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def log(self) -> Path:
        """Return the file with the output of the server."""
        return self.folder / "server.log"

    @property
    def pid(self) -> int | None:
        """Return the process id, or None while the server is stopped."""
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        """Return whether the process exists, even if it is frozen."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server on its port and wait until it is ready."""
        if self.running:
            return
        self._watchdog = self._watchdog or self._new_watchdog()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # constant arguments only
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C must not reach it: close() stops it
                **self.popen_options(),
            )
        self._watchdog.watch(self._process.pid)
        self._wait_until_ready()

    def stop(self) -> None:
        """Stop the server gracefully; start() runs it again on the same port."""
        self._signal_and_wait(self.stop_signal)

    def kill(self) -> None:
        """Stop the server as a crash would."""
        self._signal_and_wait(self.kill_signal)

    def close(self) -> None:
        """Stop the server, and remove its folder if that is temporary."""
        self.stop()
        watchdog = self._watchdog or self._new_watchdog()
        watchdog.close()  # it also removes the folder
        self._watchdog = None

    def command(self) -> list[str]:
        """Return the command line that starts the server in the foreground."""
        raise NotImplementedError

    def popen_options(self) -> Mapping[str, Any]:
        """Return more arguments for Popen, such as the environment or the user."""
        return {}

    def is_ready(self) -> bool:
        """Return whether the server accepts requests."""
        raise NotImplementedError

    def _new_watchdog(self) -> Watchdog:
        return Watchdog(self.stop_signal, self.folder if self.temporary else None)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self.timeout
        while not self.is_ready():
            if not self.running or time.monotonic() > deadline:
                output = self.log.read_text(errors="replace")[-2000:]
                raise CouldNotStartError(f"{type(self).__name__} did not start:\n{output}")
            time.sleep(0.01)

    def _signal_and_wait(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        self._process.send_signal(signal.SIGCONT)  # a frozen process handles no signal
        try:
            self._process.wait(self.timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        if self._watchdog:
            self._watchdog.release()


def free_port() -> int:
    """Return a port of 127.0.0.1 that is not in use, and was not returned before if possible."""
    for port in sorted(random.sample(PORTS, len(PORTS)), key=_given.__contains__):
        with contextlib.suppress(OSError), socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(("127.0.0.1", port))
            _given.add(port)
            return port
    raise CouldNotStartError("no free port on 127.0.0.1")


def package(name: str) -> Path:
    """Return the folder of an installed package without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise CouldNotStartError(f"the package {name} is missing: make install")
    return Path(spec.origin).resolve().parent


def write_secret(path: Path, content: str) -> None:
    """Write a file that only the current user can read."""
    path.touch(mode=0o600)
    path.write_text(content)
