"""The command ``verify``: what is held is what was fetched, and what the source has."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from adsfetch.cli.inspect import dataset_options, open_dataset
from adsfetch.cli.options import (
    QUIET,
    TODAY,
    budget_of,
    call_options,
    combine,
    datasets_in,
    folder_of,
    source_options,
)
from adsfetch.cli.output import examples, no_note, print_note, print_parts
from adsfetch.cli.sources import SOURCE_OPTIONS, groups_of
from adsfetch.comparison import Comparison, compare
from adsfetch.dataset_run import Settings
from adsfetch.dates import today_in, zone
from adsfetch.errors import AdsError, FatalError, OAuthError, QuotaError, UsageError, text_of
from adsfetch.fetch.metrics import CallMetrics
from adsfetch.fetch.retry import RetriedCall, Retry
from adsfetch.fetch.throttle import Stopped, Throttle
from adsfetch.google.source import GoogleAdsSource
from adsfetch.sources import Source
from adsfetch.storage.states import Record
from adsfetch.storage.store import Store

MAX_DAYS_SHOWN = 10
CALLS_AT_ONCE = 16
comparison_options = combine(
    click.option(
        "--against-source",
        is_flag=True,
        help="Also compare the rows and sums of each day with Google Ads: one operation.",
    ),
    source_options,
    call_options,
    TODAY,
)


@dataclass
class Verification:
    """What was found in one dataset; ``error`` is why it could not be compared."""

    name: str
    days: int = 0
    damaged: dict[str, str] = field(default_factory=dict)
    source: str = ""
    compared: Comparison | None = None
    error: AdsError | None = None

    @property
    def exit_code(self) -> int:
        if self.error:
            return self.error.exit_code if isinstance(self.error, FatalError) else 1
        return int(bool(self.problems()))

    def as_json(self) -> dict[str, Any]:
        """Return the record; each difference is what is held, and what the source has."""
        record: dict[str, Any] = {"dataset": self.name, "days": self.days, "damaged": self.damaged}
        if self.error:
            record["error"] = text_of(self.error)
        if (found := self.compared) is not None:
            record["compared"] = {
                "source": self.source,
                "days": found.days,
                "operations": found.calls,
                "columns": ["rows", *found.columns],
                "not_compared": list(found.others),
                "differs": {str(item.day): item.sums for item in found.differs},
                "restated": {str(item.day): item.sums for item in found.restated},
                "not_held": [str(day) for day in found.not_held],
                "marked": found.marked,
            }
        return record

    def as_text(self) -> str:
        """Return what was looked at, and what is not wrong although it differs."""
        lines = [f"{self.name}: {self.days} days are intact, {len(self.damaged)} are not"]
        if (found := self.compared) is not None:
            calls = "1 operation" if found.calls == 1 else f"{found.calls} operations"
            columns = ", ".join(["number of rows", *found.columns])
            lines.append(f"compared with {self.source}: {found.days} days by {calls}: {columns}")
            if found.others:
                lines.append(f"not compared, as they have no sum: {', '.join(found.others)}")
            if found.restated:
                number = len(found.restated)
                lines.append(f"restated since they were fetched, and still provisional: {number}")
                lines += map(str, found.restated)
            if found.not_held:
                days = ", ".join(map(str, found.not_held[:MAX_DAYS_SHOWN]))
                number = len(found.not_held)
                lines.append(f"missing, although the source has rows: {number}, such as {days}")
        return "\n".join(lines)

    def problems(self) -> list[str]:
        """Return what is wrong, in lines for standard error."""
        lines = [f"{day}  {problem}" for day, problem in self.damaged.items()]
        if lines:
            lines.append("the next update, or a fetch of these days, replaces them")
        if self.error:
            lines.append(text_of(self.error))
        if (found := self.compared) and found.differs and not found.marked:
            lines += map(str, found.differs)
            lines.append(
                "days that differ do not count as missing, because the query selects rows by "
                f"{', '.join(found.conditions)}, which can change later; fetch --refetch "
                "replaces them"
            )
        return lines


@click.command(
    short_help="Compare what is held with its records, or with the source.",
    epilog=examples(
        "adsfetch verify --out data",
        "adsfetch verify --against-source --out data",
    ),
)
@dataset_options
@comparison_options
@QUIET
def verify(*, against_source: bool, as_json: bool, quiet: bool, **options: Any) -> None:
    """Read every file again; a day that is not as it was fetched then counts as missing.

    Its file may be truncated, edited or deleted, or contain rows of another day. With
    --against-source a final day counts as missing too if the number of its rows or the sums of
    its metrics differ from those of the source; without a source, each dataset in DIR is compared
    with its own. The exit code is 1 if there is such a day; the next run fetches only those days.
    """
    notify = no_note if quiet else print_note
    pairs = datasets_to_verify(options, against_source=against_source, notify=notify)
    found = verify_all(pairs, options, quiet=quiet)
    print_verifications(found, as_json=as_json, quiet=quiet)
    click.get_current_context().exit(max(each.exit_code for each in found))


def datasets_to_verify(
    options: dict[str, Any], *, against_source: bool, notify: Callable[[str], None]
) -> Sequence[tuple[Source | None, Path]]:
    """Return the folders, each with the source to compare it with; raise UsageError for none."""
    if not against_source:
        for name in SOURCE_OPTIONS:
            if options[name]:
                option = f"--{name.replace('_', '-')}"
                raise UsageError(f"{option} is for verify --against-source: nothing else asks it")
        names = [options["dataset"]] if options["dataset"] else datasets_in(options["out"])
        return [(None, folder_of(options["out"], name)) for name in names]
    retry = Retry(options["attempts"], options["wait_initial"], options["wait_max"])
    groups = groups_of({**options, "may_remember": True}, Settings(retry=retry), notify)
    pairs = sorted((pair for group in groups for pair in group), key=lambda pair: pair[1])
    if len(pairs) == 1:
        return pairs
    return [(source_to_ask(source, folder, notify), folder) for source, folder in pairs]


def source_to_ask(source: Source, folder: Path, notify: Callable[[str], None]) -> Source | None:
    """Return one of several sources, if it can be asked for sums."""
    if isinstance(source, GoogleAdsSource):
        return source
    notify(f"{folder.name} is not compared: only Google Ads can be asked for the sums of days")
    return None


def verify_all(
    pairs: Sequence[tuple[Source | None, Path]], options: dict[str, Any], *, quiet: bool
) -> list[Verification]:
    """Verify all datasets, some at a time; raise the error of the only one."""
    throttle = Throttle(CALLS_AT_ONCE)

    def verify_one(pair: tuple[Source | None, Path]) -> Verification | None:
        source, folder = pair
        found = Verification(folder.name)
        try:
            throttle.begin_day()
            verify_dataset(found, folder, source, options, throttle, quiet=quiet)
        except Stopped:
            return None
        except AdsError as error:
            if len(pairs) == 1:
                raise
            found.error = error
            if isinstance(error, QuotaError | OAuthError):  # all other accounts fail too
                throttle.close()
        return found

    pool = ThreadPoolExecutor(CALLS_AT_ONCE)
    try:
        return [found for found in pool.map(verify_one, pairs) if found]
    finally:
        throttle.close()
        for source, _ in pairs:
            if source:
                source.close()
        pool.shutdown(cancel_futures=True)


def verify_dataset(
    found: Verification,
    folder: Path,
    source: Source | None,
    options: dict[str, Any],
    throttle: Throttle,
    *,
    quiet: bool,
) -> None:
    """Verify one dataset; raise what prevents that, after what was found by then is recorded."""
    wait, today = options["lock_wait"], options["today"]
    with open_dataset(folder, wait, thorough=True, quiet=quiet, today=today) as store:
        try:
            if source:
                found.compared = compare_with(source, store, options, throttle)
                found.source = source.detail
        finally:
            found.days = len(store.held_entries())
            found.damaged = {
                str(day): entry.problem
                for day, entry in sorted(store.entries.items())
                if entry.record is Record.DAMAGED
            }


def compare_with(
    source: Source, store: Store, options: dict[str, Any], throttle: Throttle
) -> Comparison:
    """Compare a dataset with its source; raise UsageError if it is that of another one."""
    store.dataset.for_source(source.identity, escape_formulas=False, has_days=True)
    retry = Retry(options["attempts"], options["wait_initial"], options["wait_max"])
    call = RetriedCall(retry, throttle, CallMetrics()).alone
    ahead = (store.today - today_in(zone(store.dataset.time_zone))).total_seconds()
    budget = budget_of(options["out"], None, ahead)
    return compare(store, source, call, budget.take)


def print_verifications(found: Sequence[Verification], *, as_json: bool, quiet: bool) -> None:
    """Print what was found, and what is wrong."""
    print_parts(found, "datasets", "\n", as_json=as_json, quiet=quiet)
    for each in found:
        for problem in each.problems():
            print_note(f"{each.name}: {problem}" if len(found) > 1 else problem)
