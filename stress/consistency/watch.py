"""Print what clients saw in each second of a run, while it runs."""

import time

from stress.consistency.checker import stale_reads
from stress.consistency.clients import Clients
from stress.consistency.effects import Effects
from stress.consistency.history import History
from stress.consistency.records import EXPECTED_STATUSES, Records
from stress.consistency.timelines import Timelines
from stress.threads import WorkerThreads

HEADS = ("second", "reads", "hits", "memory", "writes", "errors", "broken", "stale")
"""Memory is the part of the reads that are hits from the memory of a process. Errors are unexpected
statuses, broken are connections that ended without a response."""


class Watch(WorkerThreads):
    """Print a line for each second, and faults between the lines.

    The reads of a second are compared with all writes until then. A response that is being recorded
    at that moment may be missed here: the final check is the complete one.
    """

    def __init__(self, clients: Clients, history: History) -> None:
        self._clients, self._history = clients, history
        self._reads = self._writes = self._broken = 0
        super().__init__(self._print_lines)

    @staticmethod
    def announce(event: str) -> None:
        """Print an event between two lines."""
        print(f"    --  {event}", flush=True)

    def _print_lines(self) -> None:
        print("".join(f"{head:>9}" for head in HEADS), flush=True)
        began = time.monotonic()
        second = 1
        while not self.stopping.wait(max(0.0, began + second - time.monotonic())):
            figures = (second, *self._figures())
            print("".join(f"{figure:>9}" for figure in figures), flush=True)
            second += 1

    def _figures(self) -> tuple[object, ...]:
        """Return the figures of the responses since the last call, in the order of HEADS."""
        records = self._clients.records
        reads, writes = records.reads[self._reads :], records.writes[:]
        broken = len(records.broken) - self._broken
        new_writes = writes[self._writes :]
        self._reads += len(reads)
        self._writes += len(new_writes)
        self._broken += broken
        changes = self._history.read()
        timelines = Timelines(changes, Effects(changes, writes).acknowledged)
        stale = list(stale_reads(Records(reads), (), timelines, self._history.is_older))
        responses = [read.response for read in reads]
        hits = sum(response.is_hit for response in responses) / max(1, len(reads))
        memory = sum(response.is_memory_hit for response in responses) / max(1, len(reads))
        responses += [one.response for one in new_writes if one.response is not None]
        errors = sum(response.status not in EXPECTED_STATUSES for response in responses)
        acknowledged = sum(write.acknowledged for write in new_writes)
        parts = f"{hits:.0%}", f"{memory:.0%}"
        return len(reads), *parts, acknowledged, errors, broken, len(stale)
