"""Where rows come from: Google Ads, or any function that takes a date."""

import importlib
import sys
from collections.abc import Iterable
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Protocol

from adsfetch.errors import UsageError
from adsfetch.fetch.pool import FetchData
from adsfetch.storage.csv import Batch, Row


class Source(Protocol):
    """What a run needs to know of a source; nothing of it is called when nothing is to do."""

    name: str
    identity: str
    call_limit: float

    @property
    def detail(self) -> str:
        """Say what is asked, with the version of the API where there is one."""

    def open(self) -> None:
        """Get ready, so that what can be wrong at the start is said once."""

    def fetch_data(self, day: date) -> Iterable[Row | Batch]:
        """Return the rows of one day."""

    def time_zone(self) -> str:
        """Return the account's time zone, or nothing for the host's."""

    def earliest(self, today: date) -> date | None:
        """Return the oldest day that can still be asked for."""

    def close(self) -> None:
        """Cut what is under way."""


class Function:
    """A function of the user, by its name ``module:function``; loaded with its first use."""

    def __init__(self, spec: str, timeout: float) -> None:
        module, _, path = spec.partition(":")
        if not (module and path):
            raise UsageError(f"--source {spec!r} is not of the form module:function")
        self.name = path.rpartition(".")[2]
        self.identity = spec
        self.call_limit = timeout

    @property
    def detail(self) -> str:
        """Name the function."""
        return self.identity

    def open(self) -> None:
        """Import the module and find the function in it."""
        if not callable(self.function):
            raise UsageError(f"--source {self.identity}: it cannot be called")

    def fetch_data(self, day: date) -> Iterable[Row]:
        """Return what the function returns."""
        return self.function(day)

    def time_zone(self) -> str:
        """Leave the zone to the host."""
        return ""

    def earliest(self, today: date) -> date | None:
        """Know no limit."""
        return None

    def close(self) -> None:
        """Have nothing to cut: a call of the function is left behind."""

    @cached_property
    def function(self) -> FetchData:
        """Return the function itself."""
        module, _, path = self.identity.partition(":")
        sys.path.insert(0, str(Path.cwd()))
        try:
            found = importlib.import_module(module)
            for name in path.split("."):
                found = getattr(found, name)
        except (ImportError, AttributeError) as error:
            raise UsageError(f"--source {self.identity}: {error}") from error
        finally:
            sys.path.remove(str(Path.cwd()))
        return found  # type: ignore[return-value]
