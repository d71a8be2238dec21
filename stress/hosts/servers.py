"""The servers of the hosts: those of `stack/` and the service, on addresses of their own."""

import os
import re
import signal
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import redis as redis_py

from stack.process import Server
from stack.sentinel import Sentinel
from stack.servers import Postgres, Redis, Standby
from stack.unprivileged import unprivileged_user
from stress.hosts.network import NETWORK, Host
from stress.http_client import HttpConnection, get
from stress.service import ROOT, LiveService
from stress.subscriptions.webhooks import Deliverer

SENTINELS, QUORUM = 3, 2
"""A failover needs the votes of most Sentinels: of two, none could be missing."""
SYNCHRONOUS = "synchronous"


class OnHost(Server):
    """A server whose processes use the network of a host, and listen on its address."""

    on: Host

    def place(self, host: Host) -> None:
        """Set the host; the server must not have been started."""
        self.on, self.host = host, host.address

    def start(self) -> None:
        """Start the server on its host."""
        with self.on.entered():
            super().start()


class HostPostgres(OnHost, Postgres):
    """A PostgreSQL that the other hosts may use."""

    def command(self) -> list[str]:
        """Return the command line, with the addresses that may connect."""
        rules = self.folder / "hosts.conf"
        rules.write_text(
            f"host all all {NETWORK} scram-sha-256\nhost replication all {NETWORK} scram-sha-256\n"
        )
        rules.chmod(0o644)
        return [*super().command(), "-c", f"hba_file={rules}"]

    def wait_for_standby(self) -> None:
        """Acknowledge commits from now on only when the standby has them too."""
        self.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{SYNCHRONOUS}'")
        self.execute("SELECT pg_reload_conf()")


class HostStandby(HostPostgres, Standby):
    """A standby on a host of its own."""

    def __init__(self, primary: Postgres) -> None:
        Standby.__init__(self, primary, name=SYNCHRONOUS)

    def is_synchronous(self) -> bool:
        """Return whether the primary waits for this standby."""
        states = "SELECT sync_state FROM pg_stat_replication WHERE application_name = "
        return bool(self.primary.execute(f"{states}'{self.name}'") == "sync")


class HostRedis(OnHost, Redis):
    """A Redis that a replica may follow."""

    def replicate(self, master: Redis) -> None:
        """Become a replica."""
        with self._client() as client:
            client.replicaof(master.host, master.port)

    def is_master(self) -> bool:
        """Return whether it says so itself."""
        return bool(self._info("role") == "master")

    def is_replicating(self) -> bool:
        """Return whether it is a replica with the data of its master."""
        return bool(self._info("master_link_status") == "up")

    def _info(self, field: str) -> Any:
        try:
            with self._client() as client:
                return client.info("replication").get(field)
        except redis_py.RedisError:
            return None


class HostSentinel(OnHost, Sentinel):
    """A Sentinel on a host of its own."""

    def master(self) -> tuple[str, int]:
        """Return the address of the current master."""
        state = self.state()
        return state["ip"], state["port"]

    def knows_all(self, others: int) -> bool:
        """Return whether it knows the replica and so many other Sentinels."""
        state = self.state()
        return (state["num-slaves"], state["num-other-sentinels"]) == (1, others)


class HostService(OnHost, LiveService):
    """The service on an application host."""

    def kill(self) -> None:
        """Kill the master and its workers at the same moment."""
        if self.pid is not None:
            os.killpg(self.pid, signal.SIGKILL)
        super().kill()


class HostDeliverer(OnHost, Deliverer):
    """The process that delivers webhooks, on an application host."""


class PgBouncer(OnHost, Server):
    """PgBouncer in session mode, before the primary."""

    def __init__(self, database: str) -> None:
        super().__init__()
        self.database = database

    def url(self, primary: Postgres) -> str:
        """Return the URL of the database through PgBouncer."""
        return f"postgresql://postgres:{primary.password}@{self.host}:{self.port}/{self.database}"

    def point_to(self, primary: Postgres) -> None:
        """Send clients to another server: write the configuration, and reload it if it runs."""
        users = self.folder / "users.txt"
        users.write_text(f'"postgres" "{primary.password}"\n')
        # PgBouncer passes no `options` on: the limits of the service have to be set here.
        limits = "SET statement_timeout = 5000; SET lock_timeout = 3000; SET timezone = UTC"
        server = f"host={primary.host} port={primary.port} connect_query='{limits}'"
        lines = {
            "listen_addr": self.host,
            "listen_port": self.port,
            "auth_type": "scram-sha-256",
            "auth_file": users,
            "pool_mode": "session",
            "default_pool_size": 100,
            "max_client_conn": 500,
            "ignore_startup_parameters": "options",
            "server_check_delay": 1,
            "server_login_retry": 1,
        }
        settings = "".join(f"{name} = {value}\n" for name, value in lines.items())
        self.file.write_text(f"[databases]\n* = {server}\n[pgbouncer]\n{settings}")
        for path in (self.folder, users, self.file):
            os.chown(path, unprivileged_user().pw_uid, -1)
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    @property
    def file(self) -> Path:
        """Return the configuration file."""
        return self.folder / "pgbouncer.ini"

    def command(self) -> list[str]:
        """Return the command line."""
        return ["pgbouncer", str(self.file)]

    def popen_options(self) -> Mapping[str, Any]:
        """Return the user: PgBouncer refuses to run as root."""
        return {"user": unprivileged_user().pw_uid}

    def is_ready(self) -> bool:
        """Return whether it has said that it runs."""
        return b"process up" in self.log.read_bytes()


class HAProxy(Server):
    """The load balancer of deploy/, on 127.0.0.1 where the clients are."""

    def __init__(self, addresses: Sequence[str]) -> None:
        super().__init__()
        # Fewer connections: without systemd a process may not have as many files as that needs.
        changes = {r"bind :80\b": f"bind 127.0.0.1:{self.port}", r"maxconn \d+": "maxconn 2000"}
        changes[r"stats socket \S+"] = f"stats socket {self.folder}/admin.sock"
        for number, address in enumerate(addresses, 1):
            changes[rf"server host{number} \S+"] = f"server host{number} {address}"
        text = (ROOT / "deploy/haproxy.cfg").read_text()
        for old, new in changes.items():
            text, count = re.subn(old, new, text)
            if not count:
                raise RuntimeError(f"deploy/haproxy.cfg has no {old}")
        (self.folder / "haproxy.cfg").write_text(text)

    def command(self) -> list[str]:
        """Return the command line."""
        return ["haproxy", "-db", "-f", "haproxy.cfg"]

    def is_ready(self) -> bool:
        """Return whether a service responds."""
        try:
            with closing(HttpConnection(self.port)) as connection:
                return connection.request(get("/readyz")).status == 200
        except OSError:
            return False
