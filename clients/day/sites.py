"""Where the services of the day run: in this tree, or by `make run` in a fresh clone of it."""

import http.client
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from clients.service import Bookstall
from stack.process import Server
from stress.data import migrate
from stress.service import CLEARED, ROOT, environment

REQUIRED = {"REQUIRE_API_KEY": "true"}
LIMITS = {"RATE_LIMIT_READ": "600/minute", "RATE_LIMIT_WRITE": "60/minute"}
"""The defaults of the service, which a developer has to live with."""
OF_THE_CALLER = (*CLEARED, "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHONPATH", "VIRTUAL_ENV")


class Tree:
    """This tree, with databases in ``folder``."""

    root = ROOT
    command: tuple[str, ...] = (sys.executable, "-m", "flask")

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def url(self, name: str) -> str:
        """Return the URL of the database of that name."""
        return f"sqlite:///{self._folder / name}.db"

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment of commands that use a database."""
        return environment(DATABASE_URL=self.url(name))

    def serve(self, name: str) -> "Bookstall | MakeRun":
        """Return the service of a new database; it runs while it is entered."""
        migrate(self.url(name))
        return Bookstall(self.url(name), **REQUIRED, **LIMITS)

    def flask(self, name: str, *arguments: str) -> str:
        """Run a command on a database, and return what it prints."""
        done = subprocess.run(
            [*self.command, *arguments],
            env=self.environment(name),
            cwd=self.root,
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise click.ClickException(f"flask {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout.strip()


class Clone(Tree):
    """A clone of this repository in ``folder``, with its default database and another one."""

    command = (".venv/bin/flask",)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.root = folder / "clone"
        click.echo("clone this repository; the first `make run` installs it: one or two minutes")
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(self.root)], check=True)

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment of a user: of the service only REQUIRE_API_KEY is set."""
        inherited = {key: os.environ[key] for key in os.environ if key not in OF_THE_CALLER}
        database = {} if name == "shop" else {"DATABASE_URL": self.url(name)}
        return {**inherited, **REQUIRED, **database}

    def serve(self, name: str) -> "MakeRun":
        """Return `make run`: with the sample for the default database, else empty."""
        return MakeRun(self.root, self.environment(name))


class MakeRun(Server):
    """`make run` in a clone."""

    timeout = 900  # the first one installs the environment

    def __init__(self, clone: Path, variables: Mapping[str, str]) -> None:
        super().__init__()
        self._clone = clone
        self._environment = {**variables, "PORT": str(self.port)}

    @property
    def address(self) -> str:
        """Return the base URL."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """Return what a newcomer types."""
        return ["make", "-C", str(self._clone), "run"]

    def popen_options(self) -> Mapping[str, Any]:
        """Return the environment."""
        return {"env": self._environment}

    def is_ready(self) -> bool:
        """Return whether the service says that it is ready."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
        with closing(connection):
            try:
                connection.request("GET", "/readyz")
                return connection.getresponse().status == http.client.OK
            except OSError:
                return False
