"""Sources of rows: Google Ads, or any function that takes a date."""

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from adsfetch.errors import UsageError

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Batch:
    """Many rows at once, for fast sources: one column of texts for each of ``names``."""

    names: tuple[str, ...]
    columns: Sequence[Sequence[str]]


FetchData = Callable[[date], Iterable[Any]]


class Source:
    """What a run needs from a source; a run with nothing to do only reads the attributes.

    ``identity`` is stored with the dataset, so that another source is not mixed in.
    ``call_timeout`` is in seconds and covers one call of ``fetch_data`` with all its rows.
    """

    name: str
    identity: str
    call_timeout: float

    @property
    def detail(self) -> str:
        """Return the identity, with the version of the API where there is one."""
        return self.identity

    def open(self) -> None:
        """Prepare the source, so that a mistake in its settings is reported once, at the start."""

    def fetch_data(self, day: date) -> Iterable[Row | Batch]:
        raise NotImplementedError

    def time_zone(self) -> str:
        """Return the account's time zone; an empty string means the host's."""
        return ""

    def earliest(self, today: date) -> date | None:
        """Return the oldest day that can still be fetched; None means no limit."""
        return None

    def close(self) -> None:
        """Cancel all calls, if that is possible; otherwise they are abandoned."""


class FunctionSource(Source):
    """A user's function, given as ``module:function``; imported on first use."""

    def __init__(self, spec: str, timeout: float) -> None:
        module, _, path = spec.partition(":")
        if not (module and path):
            raise UsageError(f"--source {spec!r} is not of the form module:function")
        self.name = path.rpartition(".")[2]
        self.identity = spec
        self.call_timeout = timeout

    def open(self) -> None:
        if not callable(self.function):
            raise UsageError(f"--source {self.identity}: it cannot be called")

    def fetch_data(self, day: date) -> Iterable[Row]:
        return self.function(day)

    @cached_property
    def function(self) -> FetchData:
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
