"""The side of a run that uses a Dask cluster: it gives each call to a worker."""

import logging
import pickle
import socket
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from datetime import date
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from adsfetch.cluster.tasks import DayTask, end_run, fetch_day
from adsfetch.errors import ClusterError, TransientError, UsageError, describe
from adsfetch.fetch.isolation import call_isolated
from adsfetch.sources import Source
from adsfetch.storage.atomic import temporary_path
from adsfetch.storage.staging import StagedDay, Staging

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 5.0


class Cluster:
    """A Dask cluster, whose workers make the calls of runs and write the rows of their days.

    All else stays in the process of the run: the order of the days, the throttle, the budget,
    retries, and the manifest. ``connect`` and ``close`` are called once in each run.
    """

    def __init__(self, address: str) -> None:
        """Raise UsageError if Dask is not installed; connect later."""
        if find_spec("distributed") is None:
            raise UsageError(
                "--executor dask://... needs the extra 'dask': pip install '.[dask]' in a "
                "checkout of this project"
            )
        self._address = address
        self._client: Client | None = None
        self._run = ""
        # They stay until the end of the run: if a worker is lost before Dask has heard that its
        # result was received, another one runs the task again.
        self._claims: list[Path] = []

    def connect(self) -> int:
        """Connect, and return the number of threads of all workers; raise ClusterError."""
        import distributed  # noqa: PLC0415 - an extra, which takes a second to import

        for name in ("distributed", "distributed.client", "distributed.core"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # errors are reported once, by us
        host, _, port = self._address.rpartition(":")
        try:
            # Dask would try a port that refuses connections again and again.
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
            client = distributed.Client(
                f"tcp://{self._address}", timeout=CONNECT_SECONDS, set_as_default=False
            )
        except Exception as error:
            reason = getattr(error, "strerror", None) or describe(error)
            raise ClusterError(
                f"cannot reach a Dask scheduler at {self._address}: {reason}"
            ) from error
        self._client, self._run = client, uuid4().hex
        self._executor = client.get_executor(pure=False)
        threads: int = sum(client.nthreads().values())
        if not threads:
            self.close()
            raise ClusterError(f"the Dask scheduler at {self._address} has no workers")
        return threads

    def close(self) -> None:
        """Cancel what is pending, end the calls that run, and disconnect."""
        client, self._client = self._client, None
        if client:
            with suppress(Exception):
                call_isolated(partial(self._end, client), 2 * CLOSE_SECONDS, Future())
        for claim in self._claims:
            with suppress(OSError):
                claim.unlink(missing_ok=True)
        self._claims.clear()

    def _end(self, client: "Client", _is_abandoned: object) -> None:
        self._executor.shutdown(wait=False)
        with suppress(Exception):
            client.run(end_run, self._run, on_error="ignore")
        client.close(CLOSE_SECONDS)

    def fetch(self, source: Source, staging: Staging, day: date) -> list[StagedDay]:
        """Let a worker fetch a day and write its rows; return what it has written."""
        claim = temporary_path(staging.target(day))
        self._claims.append(claim)
        with source.time_limit(day) as timeout:
            task = DayTask(
                self._run,
                dict(source.options),
                timeout,
                day,
                staging.folder,
                staging.columns,
                staging.escape_formulas,
                claim,
            )
            staged = self._result(task)
        return [staging.add(staged)]

    def _result(self, task: DayTask) -> StagedDay:
        pickled, text = self._outcome(task)
        try:
            outcome: StagedDay | Exception = pickle.loads(pickled)  # noqa: S301 - as Dask does
        except Exception:  # noqa: BLE001 - an error whose class is not here
            raise TransientError(text) from None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _outcome(self, task: DayTask) -> tuple[bytes, str]:
        from distributed import KilledWorker  # noqa: PLC0415 - see above

        try:
            outcome: tuple[bytes, str] = self._executor.submit(fetch_day, task).result()
        except KilledWorker:
            raise TransientError("the Dask worker that fetched this day was lost") from None
        except (CancelledError, RuntimeError):
            raise ClusterError(
                f"the connection to the Dask scheduler at {self._address} was lost; run the same "
                "command again"
            ) from None
        except Exception as error:
            raise ClusterError(f"a Dask worker cannot run adsfetch: {describe(error)}") from error
        return outcome
