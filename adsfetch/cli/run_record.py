"""What is recorded at the end of a command that fetches: for ``status``, and for Prometheus."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from adsfetch.cli.metrics_file import Command, write_metrics
from adsfetch.cli.output import exit_code_of, print_note
from adsfetch.cli.output_file import check_output_file
from adsfetch.errors import AdsError, text_of
from adsfetch.storage.last_run import LastRun, load_last_run, save_last_run
from adsfetch.summary import Summary
from adsfetch.totals import Totals


class Failure(NamedTuple):
    """An exit code, and why it is not 0."""

    exit_code: int
    reason: str = ""


class RunRecord:
    """Records how a run ended, also if an error prevented its start, as a context manager.

    ``exit_code`` is that of the command: if the run is complete, but its metrics cannot be
    written, it is 1.
    """

    def __init__(self, out: Path, metrics_file: Path | None, today: str | None) -> None:
        """Raise UsageError if the metrics would replace a file of a dataset."""
        if metrics_file:
            check_output_file(metrics_file, out)
        with suppress(FileNotFoundError):  # the current folder was deleted, which the run will say
            out = out.absolute()  # a source may change the current folder
            metrics_file = metrics_file and metrics_file.absolute()
        self._out, self._metrics_file, self._today = out, metrics_file, today
        self._folders: Sequence[Path] = ()
        self._totals: Sequence[Totals] = ()
        self._start = time.perf_counter()
        self.exit_code = 0

    def begin(self, folders: Sequence[Path]) -> None:
        """Take the folders of the datasets; a relative path would move with the current one."""
        self._folders = folders

    def end(self, totals: Sequence[Totals]) -> None:
        """Take the outcome of the runs."""
        self._totals, self.exit_code = totals, max(each.exit_code for each in totals)

    def __enter__(self) -> "RunRecord":
        return self

    def __exit__(
        self, _kind: object, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        ended = int(time.time())
        if error:
            self.exit_code = exit_code_of(error)
        for folder, part, failure in self._ends(error):
            if folder.is_dir():
                with suppress(AdsError):  # a full disk: the run has said so
                    save_last_run(folder, last_run_of(folder, part, failure, ended))
        if self._metrics_file:
            self._write_metrics(self._metrics_file, ended)

    def _ends(self, error: BaseException | None) -> Iterator[tuple[Path, Summary | None, Failure]]:
        """Yield how each dataset ended; all of them by an error that was raised."""
        if error:
            for folder in self._folders:
                yield folder, None, Failure(exit_code_of(error), reason_of(error))
            return
        folders = {folder.name: folder for folder in self._folders}
        for totals in self._totals:
            for part in totals.datasets:
                yield folders[part.dataset], part, failure_of(part, totals)

    def _write_metrics(self, path: Path, ended: int) -> None:
        throttled = sum(each.paused_seconds for each in self._totals)
        seconds = time.perf_counter() - self._start
        command = Command(self._out, ended, self.exit_code, seconds, throttled)
        try:
            write_metrics(path, command, self._folders, self._today)
        except AdsError as error:
            print_note(f"Error: {text_of(error)}")
            self.exit_code = self.exit_code or 1


def failure_of(part: Summary, totals: Totals) -> Failure:
    """Return how a dataset failed; days that were not tried failed by what ended the whole run."""
    if len(totals.datasets) == 1:
        part = totals.whole
    if part.exit_code:
        number = len(part.failed)
        reason = part.reason or f"{number} day{'s' if number > 1 else ''} failed"
        return Failure(part.exit_code, reason)
    if totals.stopped and (part.first is None or part.not_tried):
        return Failure(totals.exit_code, reason_of(totals.stopped))
    return Failure(0)


def reason_of(error: BaseException) -> str:
    """Return in words why a run has ended."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return text_of(error) or type(error).__name__


def last_run_of(folder: Path, part: Summary | None, failure: Failure, ended: int) -> LastRun:
    """Return the record of a run; it keeps when the last success was."""
    old, code = load_last_run(folder), failure.exit_code
    succeeded = ended if code == 0 else old.succeeded if old else 0
    run = LastRun(ended, code, succeeded, failure.reason)
    if part is None:
        return run
    calls, retries = len(part.metrics.durations), sum(part.metrics.retries.values())
    return replace(run, rows=part.rows, calls=calls, retries=retries)
