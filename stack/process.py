"""A server of our own on 127.0.0.1, which ends when we end, however we end."""

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

from stack.guard import Guard

# Outside the range from which systems take the ports of outgoing connections,
# so that nobody is given our port while the server is down on purpose.
PORTS = range(20_000, 32_000)


class CouldNotStartError(RuntimeError):
    """Say that a server ended, or stayed silent, before it was ready."""


class Server:
    """Run one child process, with a guard beside it that ends it when we are gone.

    Without a ``folder`` it lives in a temporary one, removed at the end.
    """

    gently: ClassVar[signal.Signals] = signal.SIGTERM
    harshly: ClassVar[signal.Signals] = signal.SIGKILL
    patience: ClassVar[float] = 30  # seconds to become ready, and again to end

    def __init__(self, folder: Path | None = None) -> None:
        self.temporary = folder is None
        self.folder = folder.resolve() if folder else Path(tempfile.mkdtemp(prefix="bookstall-"))
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None

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
        """Return the file with what the server has said."""
        return self.folder / "server.log"

    @property
    def pid(self) -> int | None:
        """Return the id of its process, while it has one."""
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        """Tell whether the process is there, even if frozen."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server, on the same port as ever, and wait until it answers."""
        if self.running:
            return
        self._guard = self._guard or self._new_guard()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own words only
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C is for us; we end it in our own order
                **self.identity(),
            )
        self._guard.watch(self._process.pid)
        self._wait_until_ready()

    def stop(self) -> None:
        """End the server in good order; start() brings it back on the same port."""
        self._end(self.gently)

    def kill(self) -> None:
        """End the server as a crash would."""
        self._end(self.harshly)

    def close(self) -> None:
        """End the server for good, and remove its folder if that was a temporary one."""
        self.stop()
        guard = self._guard or self._new_guard()
        guard.close()  # it also removes the folder
        self._guard = None

    def command(self) -> list[str]:
        """Return the words that start the server in the foreground."""
        raise NotImplementedError

    def identity(self) -> Mapping[str, Any]:
        """Return Popen's arguments for the user to run as: ours, unless told otherwise."""
        return {}

    def answers(self) -> bool:
        """Ask the server whether it is ready."""
        raise NotImplementedError

    def _new_guard(self) -> Guard:
        return Guard(self.gently, self.folder if self.temporary else None)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self.patience
        while not self.answers():
            if not self.running or time.monotonic() > deadline:
                said = self.log.read_text(errors="replace")[-2000:]
                raise CouldNotStartError(f"{type(self).__name__} did not start:\n{said}")
            time.sleep(0.01)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        self._process.send_signal(signal.SIGCONT)  # a frozen process would not hear
        try:
            self._process.wait(self.patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        if self._guard:
            self._guard.rest()


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    for port in random.sample(PORTS, len(PORTS)):
        with contextlib.suppress(OSError), socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(("127.0.0.1", port))
            return port
    raise CouldNotStartError("no free port on 127.0.0.1")


def package(name: str) -> Path:
    """Return the folder of an installed package, without running its code."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise CouldNotStartError(f"the package {name} is missing: make install")
    return Path(spec.origin).resolve().parent


def write_secret(path: Path, content: str) -> None:
    """Write a file that only we can read."""
    path.touch(mode=0o600)
    path.write_text(content)
