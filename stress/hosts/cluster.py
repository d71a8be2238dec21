"""All hosts with their servers, and how an operator moves the database to the standby."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Self

from stress.data import migrate
from stress.hosts.network import Host, Network
from stress.hosts.servers import (
    QUORUM,
    SENTINELS,
    HAProxy,
    HostDeliverer,
    HostPostgres,
    HostRedis,
    HostSentinel,
    HostService,
    HostStandby,
    OnHost,
    PgBouncer,
)
from stress.threads import WorkerThreads, wait_until

DATABASE = "stress"
PATIENCE = 60.0
"""Seconds in which a server is ready, also on a busy machine."""


class AppHost:
    """A host of the service: gunicorn with two workers, and a process that delivers webhooks."""

    def __init__(self, host: Host, application: str, settings: dict[str, str]) -> None:
        self.host = host
        self.service = HostService(application, 2, **settings)
        self.deliverer = HostDeliverer(**settings)
        self.service.place(host)
        self.deliverer.place(host)

    def start(self) -> None:
        """Start both."""
        self.service.start()
        self.deliverer.start()

    def close(self) -> None:
        """Stop both."""
        self.deliverer.close()
        self.service.close()

    def kill(self) -> None:
        """Kill all processes, without a warning."""
        self.deliverer.kill()
        self.service.kill()


class Cluster:
    """Two hosts of the service behind HAProxy, PostgreSQL and Redis with a replica each."""

    def __init__(self, application: str = "asgi:app", *, pgbouncer: bool = False) -> None:
        self._application, self._pgbouncer = application, pgbouncer
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        network = Network()
        self._servers = stack

        def run_on(name: str, server: OnHost) -> None:
            server.place(network.add(name))
            stack.enter_context(server)

        self.primary: HostPostgres = HostPostgres()
        run_on("postgres1", self.primary)
        self.primary.new_database(DATABASE)
        migrate(self.primary.url_for(DATABASE))
        self.standby = HostStandby(self.primary)
        run_on("postgres2", self.standby)
        self.primary.wait_for_standby()
        master = HostRedis()
        run_on("redis1", master)
        replica = HostRedis(password=master.password)
        run_on("redis2", replica)
        replica.replicate(master)
        self._redis = master, replica
        wait_until(replica.is_replicating, PATIENCE)
        self.sentinels = [HostSentinel(master, quorum=QUORUM) for _ in range(SENTINELS)]
        for number, sentinel in enumerate(self.sentinels, 1):
            run_on(f"sentinel{number}", sentinel)
        self.bouncer = PgBouncer(DATABASE) if self._pgbouncer else None
        if self.bouncer is not None:
            self.bouncer.place(network.add("pgbouncer"))
            self.bouncer.point_to(self.primary)
            stack.enter_context(self.bouncer)
        self.settings = {
            "DATABASE_URL": self.database_url,
            "DATABASE_READ_URL": self.url_of("standby"),
            "REDIS_URL": self.redis_url,
            "WEBHOOK_PRIVATE_TARGETS": "true",
            "TRUSTED_PROXIES": "1",
        }
        self.apps = [
            AppHost(network.add(name), self._application, self.settings)
            for name in ("app1", "app2")
        ]
        for app in self.apps:
            stack.callback(app.close)
        with WorkerThreads(*(app.start for app in self.apps)):
            pass
        services = [app.service for app in self.apps]
        addresses = [f"{service.host}:{service.port}" for service in services]
        self.proxy = stack.enter_context(HAProxy(addresses))
        self.port = self.proxy.port

    def url_of(self, role: str) -> str:
        """Return the URL of the database on the server that is read-write, or standby, now."""
        servers = self.primary, self.standby
        hosts = "&".join(f"host={server.host}:{server.port}" for server in servers)
        user = f"postgres:{self.primary.password}"
        return f"postgresql://{user}@/{DATABASE}?{hosts}&target_session_attrs={role}"

    @property
    def database_url(self) -> str:
        """Return DATABASE_URL of the services."""
        return self.bouncer.url(self.primary) if self.bouncer else self.url_of("read-write")

    @property
    def redis_url(self) -> str:
        """Return REDIS_URL of the services."""
        addresses = ",".join(f"{each.host}:{each.port}" for each in self.sentinels)
        name = self.sentinels[0].state()["name"]
        return f"redis+sentinel://:{self._redis[0].password}@{addresses}/{name}/0"

    @property
    def redis_servers(self) -> tuple[HostRedis, HostRedis]:
        """Return the master and its replica, as the Sentinels see them."""
        one, other = self._redis
        return (one, other) if self.sentinels[0].master() == (one.host, one.port) else (other, one)

    def fail_over(self) -> None:
        """Kill the primary and promote the standby."""
        self.primary.kill()
        self.standby.promote()
        if self.bouncer is not None:
            self.bouncer.point_to(self.standby)

    def repair(self) -> None:
        """Wait until everything is as at the start: both hosts serve, both replicas are there."""
        if not self.primary.running:
            self._rebuild_standby()
        _, replica = self.redis_servers
        wait_for(
            self.standby.is_synchronous,
            replica.is_replicating,
            *(app.service.is_ready for app in self.apps),
            *(partial(sentinel.knows_all, SENTINELS - 1) for sentinel in self.sentinels),
        )

    def _rebuild_standby(self) -> None:
        """Copy the primary, which was the standby, to the host of the former one."""
        former, self.primary = self.primary, self.standby
        self.standby = HostStandby(self.primary)
        self.standby.place(former.on)
        self.standby.port = former.port
        former.close()
        self._servers.enter_context(self.standby)
        self.primary.wait_for_standby()


def wait_for(*conditions: Callable[[], bool]) -> None:
    """Wait until all are true; raise RuntimeError if one is not in time."""
    for condition in conditions:
        if not wait_until(condition, PATIENCE, 0.1):
            raise RuntimeError(f"not in order after {PATIENCE} s: {condition}")
