"""The gate that all workers pass before a call, so that they slow down together."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class Stopped(Exception):  # noqa: N818 - a signal to workers, not an error
    """The run is over; drop what you are doing."""


@dataclass
class Pass:
    """One admission; ``pause`` tells by ``episode`` what is news to the gate."""

    episode: int


class Gate:
    """Admit calls, pause them all on a rate limit, go on with fewer, grow again.

    Each pause halves the number of calls at work, each full round of successes adds one.
    ``refusals`` counts the pauses since the last success.
    """

    def __init__(self, workers: int) -> None:
        self.workers = self.limit = workers
        self.throttled = 0.0
        self.successes = self.refusals = 0
        self._active = self._streak = self._episode = 0
        self._resume_at = 0.0
        self._closed = False
        self._changed = threading.Condition()

    @contextmanager
    def admit(self) -> Iterator[Pass]:
        """Wait for a place, hold it for the call, and learn from how the call ended."""
        ticket = self._enter()
        try:
            yield ticket
        except BaseException:
            self._leave(grow=False)
            raise
        self._leave(grow=True)

    def pause(self, seconds: float, ticket: Pass) -> None:
        """Hold everybody back for ``seconds``, and halve once for each new episode."""
        with self._changed:
            now = time.monotonic()
            end = max(self._resume_at, now + seconds)
            self.throttled += end - max(self._resume_at, now)
            self._resume_at = end
            if ticket.episode == self._episode:
                self._episode += 1
                self.refusals += 1
                self._streak = 0
                self.limit = max(1, self.limit // 2)
            self._changed.notify_all()

    def sleep(self, seconds: float) -> None:
        """Wait between two tries; raise Stopped as soon as the run is over."""
        with self._changed:
            if self._changed.wait_for(lambda: self._closed, seconds):
                raise Stopped

    def close(self) -> None:
        """End every wait; nobody is admitted any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _enter(self) -> Pass:
        with self._changed:
            while (wait := self._hindrance()) != 0:
                self._changed.wait(wait)
            self._active += 1
            return Pass(self._episode)

    def _hindrance(self) -> float | None:
        """Return the seconds to wait, 0 for go, None for until something changes."""
        if self._closed:
            raise Stopped
        if (rest := self._resume_at - time.monotonic()) > 0:
            return rest
        return 0 if self._active < self.limit else None

    def _leave(self, *, grow: bool) -> None:
        with self._changed:
            self._active -= 1
            if grow:
                self._succeed()
            self._changed.notify_all()

    def _succeed(self) -> None:
        self.successes += 1
        self.refusals = 0
        self._streak += 1
        if self._streak >= self.limit < self.workers:
            self._streak = 0
            self.limit += 1
