"""The file of ``--metrics-file``, in the text format that Prometheus' node_exporter collects."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from adsfetch.cli.calendar_view import Calendar, open_calendar
from adsfetch.cli.output_file import write_output_file
from adsfetch.dates import zone
from adsfetch.errors import AdsError
from adsfetch.storage.atomic import read_file
from adsfetch.storage.last_run import NAME, load_last_run

HELP = {
    "adsfetch_command_end_timestamp_seconds": "When the last command ended.",
    "adsfetch_command_exit_code": "Exit code of the last command.",
    "adsfetch_command_duration_seconds": "How long the last command took.",
    "adsfetch_command_throttled_seconds": "How long it waited for the rate limit of the source.",
    "adsfetch_last_run_timestamp_seconds": "When the last run of the dataset ended.",
    "adsfetch_last_run_exit_code": "Exit code of the last run.",
    "adsfetch_last_run_rows": "Rows that the last run fetched.",
    "adsfetch_last_run_calls": "Calls of the last run.",
    "adsfetch_last_run_retries": "Retries of the last run.",
    "adsfetch_last_success_timestamp_seconds": "End of the last run with exit code 0, or 0.",
    "adsfetch_reports": "Days, each with one report, by state; all that were requested so far.",
    "adsfetch_rows": "Rows of all days that are held.",
    "adsfetch_newest_day_timestamp_seconds": "Start of the newest day that is held, or 0.",
}
"""All metrics are gauges: a run writes the file anew."""
Sample = tuple[str, dict[str, str], float]
"""A metric, its labels and its value."""


@dataclass(frozen=True)
class Command:
    """How a command ended; ``ended`` is in seconds since 1970."""

    out: Path
    ended: int
    exit_code: int
    seconds: float
    throttled_seconds: float = 0.0


def write_metrics(path: Path, command: Command, folders: Iterable[Path], today: str | None) -> None:
    """Replace the file, also by that of a failed run.

    It has the datasets of this command, and those of earlier ones that are still in the folder:
    a command that could not start, or another line of the crontab, does not lose them.
    """
    known = {*folders, *folders_in(path, command.out)}
    samples = list(samples_of_command(command))
    for folder in sorted(known):
        samples += samples_of_dataset(folder, today)
    write_output_file(path, text_of(samples))


def folders_in(path: Path, out: Path) -> Iterator[Path]:
    """Yield the folders of the datasets that a metrics file names already."""
    text = read_file(path).decode(errors="replace") if path.is_file() else ""
    for record in out.glob(f"*/{NAME}"):
        if text_of_labels(labels_of(record.parent)) in text:
            yield record.parent


def samples_of_command(command: Command) -> Iterator[Sample]:
    """Yield the metrics of the command as a whole."""
    labels = {"dir": str(command.out)}
    yield "adsfetch_command_end_timestamp_seconds", labels, command.ended
    yield "adsfetch_command_exit_code", labels, command.exit_code
    yield "adsfetch_command_duration_seconds", labels, round(command.seconds, 3)
    yield "adsfetch_command_throttled_seconds", labels, round(command.throttled_seconds, 3)


def samples_of_dataset(folder: Path, today: str | None) -> Iterator[Sample]:
    """Yield the metrics of a dataset; those of its days only if it has some."""
    labels = labels_of(folder)
    if run := load_last_run(folder):
        yield "adsfetch_last_run_timestamp_seconds", labels, run.ended
        yield "adsfetch_last_run_exit_code", labels, run.exit_code
        yield "adsfetch_last_run_rows", labels, run.rows
        yield "adsfetch_last_run_calls", labels, run.calls
        yield "adsfetch_last_run_retries", labels, run.retries
        yield "adsfetch_last_success_timestamp_seconds", labels, run.succeeded
    with suppress(AdsError):  # the run has said what is wrong with it
        calendar = open_calendar(folder, today=today)
        for state, number in calendar.counts.items():
            yield "adsfetch_reports", {**labels, "state": state}, number
        rows = sum(entry.rows for entry in calendar.store.held_entries())
        yield "adsfetch_rows", labels, rows
        yield "adsfetch_newest_day_timestamp_seconds", labels, newest_day(calendar)


def newest_day(calendar: Calendar) -> float:
    """Return when the newest day started in the time zone of the account, or 0."""
    day, time_zone = calendar.newest_day, zone(calendar.store.dataset.time_zone)
    if day is None:
        return 0
    return datetime(day.year, day.month, day.day, tzinfo=time_zone).timestamp()


def labels_of(folder: Path) -> dict[str, str]:
    """Return the labels of a dataset: several folders of one host may have the same names."""
    return {"dir": str(folder.parent), "dataset": folder.name}


def text_of(samples: Iterable[Sample]) -> str:
    """Return samples in the text format: those of one metric together, after its description."""
    lines = defaultdict(list)
    for name, labels, value in samples:
        lines[name].append(f"{name}{{{text_of_labels(labels)}}} {value}\n")
    return "".join(
        f"# HELP {name} {text}\n# TYPE {name} gauge\n{''.join(lines[name])}"
        for name, text in HELP.items()
        if name in lines
    )


def text_of_labels(labels: dict[str, str]) -> str:
    """Return labels with escapes; bytes of a path that are no text become question marks."""
    values = {
        name: value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
        for name, value in labels.items()
    }
    text = ",".join(f'{name}="{value}"' for name, value in values.items())
    return text.encode(errors="replace").decode()
