"""A standby of a PostgreSQL server: it receives its WAL, replays it, and answers reads."""

import time
from pathlib import Path

from stack.postgres import Postgres


class Standby(Postgres):
    """Run a hot standby of ``primary``, which streams its WAL to it.

    The first start copies the primary, which has to run; a later one goes on where the standby
    stopped. Once promoted, it is a primary with the same password. ``name`` is what
    ``synchronous_standby_names`` of the primary calls it.
    """

    def __init__(
        self, primary: Postgres, folder: Path | None = None, *, name: str = "standby"
    ) -> None:
        super().__init__(folder, durable=primary.durable)
        self.primary = primary
        self.name = name

    @property
    def password(self) -> str:
        """Return the password of the primary: the copy has its users."""
        return self.primary.password

    def pause_replay(self) -> None:
        """Let the standby receive WAL without replaying it, so that it falls behind."""
        self.execute("SELECT pg_wal_replay_pause()")
        # The request is only noted: it takes effect before the next record.
        while self.execute("SELECT pg_get_wal_replay_pause_state()") != "paused":
            time.sleep(0.01)

    def resume_replay(self) -> None:
        """End ``pause_replay``."""
        self.execute("SELECT pg_wal_replay_resume()")

    def has_replayed_all(self) -> bool:
        """Return whether the standby shows all that has been committed on the primary."""
        written = self.primary.execute("SELECT pg_current_wal_insert_lsn()")
        return bool(self.execute(f"SELECT pg_last_wal_replay_lsn() >= '{written}'"))

    def promote(self) -> None:
        """Make the standby a primary of its own, and wait until it accepts writes."""
        self.execute("SELECT pg_promote()")

    def _create_cluster(self) -> None:
        self._run(
            "pg_basebackup",
            f"--pgdata={self._empty_data_folder()}",
            f"--dbname={self.primary.url}?application_name={self.name}",
            "--write-recovery-conf",
            "--wal-method=stream",
            "--checkpoint=fast",
        )
