"""A progress bar for people who look on."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Bar(Protocol):
    """What a run tells while it works."""

    def update(self, n: float | None = 1) -> object:
        """Say that so many more days are done."""


class NoBar:
    """Say nothing: nobody is at a terminal."""

    def update(self, n: float | None = 1) -> None:
        """Do nothing."""


@contextmanager
def progress(total: int) -> Iterator[Bar]:
    """Show a bar on standard error if that is a terminal."""
    if not (total and sys.stderr.isatty()):
        yield NoBar()
        return
    from tqdm import tqdm  # noqa: PLC0415 - only where it is seen

    with tqdm(total=total, unit="day", file=sys.stderr, dynamic_ncols=True) as bar:
        yield bar
