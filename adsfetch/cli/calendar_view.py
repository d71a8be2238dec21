"""The calendar of a dataset, as text and as an HTML page."""

import calendar
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from html import escape
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from string import Template
from typing import Any

from adsfetch.cli.options import similar_to
from adsfetch.dates import days_between, is_month, parse_day, parse_range, today_in, zone
from adsfetch.errors import UsageError
from adsfetch.storage.last_run import LastRun, instant_of, load_last_run
from adsfetch.storage.states import DONE, MARKS, State
from adsfetch.storage.store import Store

TROUBLE = (State.FAILED, State.MISSING)


@dataclass(frozen=True)
class Calendar:
    """The state of each day of a range, oldest first, and the last run, if it was recorded."""

    store: Store
    states: dict[date, State]
    last_run: LastRun | None

    @property
    def name(self) -> str:
        return self.store.folder.name

    @property
    def counts(self) -> dict[str, int]:
        counts = Counter(self.states.values())
        return {state: counts[state] for state in MARKS}

    @property
    def title(self) -> str:
        """Return the range and the counts in one line."""
        counts = ", ".join(f"{number} {state}" for state, number in self.counts.items())
        return f"{self.name}: {min(self.states)} to {max(self.states)}, {counts}"

    @property
    def newest_day(self) -> date | None:
        """Return the newest day that is held."""
        return max((entry.day for entry in self.store.held_entries()), default=None)

    @property
    def missing_since(self) -> int:
        """Return how many days after the newest one should be held, but are not.

        They end yesterday, because the run of today may still come, or with what was requested
        if no ``update`` keeps the dataset up to date.
        """
        store, newest = self.store, self.newest_day
        last = store.today - timedelta(1)
        if not store.dataset.daily:
            last = min(last, store.dataset.wanted_to or last)
        if newest is None or newest >= last:
            return 0
        days = days_between(newest + timedelta(1), last)
        return sum(store.state(day) not in DONE for day in days)

    @property
    def lacking(self) -> dict[str, int]:
        """Return how many days are failed or missing, without today: its run may still come."""
        states = self.states.items()
        found = [state for day, state in states if state not in DONE and day < self.store.today]
        return {state: found.count(state) for state in TROUBLE if state in found}

    @property
    def lacking_in_words(self) -> str:
        return ", ".join(f"{count} {state}" for state, count in self.lacking.items())

    def problems(self) -> list[str]:
        """Return in one line what is wrong with the days or the last run; nothing if nothing is."""
        failed = self.last_run is not None and self.last_run.exit_code != 0
        if not (self.lacking or failed or self.missing_since):
            return []
        return [f"{self.name}: {'; '.join(filter(None, [self.lacking_in_words, self.news]))}"]

    @property
    def news(self) -> str:
        """Return in one line when the last run was, and whether days have stopped coming."""
        newest, missing = self.newest_day, self.missing_since
        if newest is None:
            return f"{self._last_run()}; no day is held"
        days = f"{missing} days are" if missing > 1 else "1 day is"
        gap = f": {days} missing since then" if missing else ""
        return f"{self._last_run()}; newest day {newest}{gap}"

    def _last_run(self) -> str:
        run, fetched = self.last_run, self.store.last_fetched
        if run is None:  # the run was killed, or one of an older version
            return f"last fetched {self._ago(fetched)}({fetched})" if fetched else "never run"
        text = f"last run {self._when(run.ended)}"
        if not run.exit_code:
            return text
        success = (
            f"last success {self._when(run.succeeded)}" if run.succeeded else "no success so far"
        )
        return f"{text}, exit code {run.exit_code}: {run.reason}; {success}"

    def _when(self, seconds: int) -> str:
        """Return an instant in the time zone of the account."""
        moment = instant_of(seconds).astimezone(zone(self.store.dataset.time_zone))
        return f"{self._ago(moment.date())}({moment:%Y-%m-%d %H:%M})"

    def _ago(self, day: date) -> str:
        days = (self.store.today - day).days
        if days < 0:  # --today is before
            return ""
        return ("today ", "yesterday ")[days] if days < 2 else f"{days} days ago "  # noqa: PLR2004

    def reason(self, day: date) -> str:
        """Return why a day is not held, as far as that is recorded."""
        entry = self.store.entries.get(day)
        return entry.problem if entry else ""

    @property
    def reasons(self) -> dict[str, str]:
        return {str(day): reason for day in self.states if (reason := self.reason(day))}

    def as_json(self) -> dict[str, Any]:
        return {
            "dataset": self.name,
            "source": self.store.dataset.source,
            "time_zone": self.store.dataset.time_zone,
            "last_fetched": str(self.store.last_fetched or ""),
            **self._run_as_json(),
            "newest_day": str(self.newest_day or ""),
            "missing_since_newest_day": self.missing_since,
            "counts": self.counts,
            "days": {str(day): state for day, state in self.states.items()},
            "reasons": self.reasons,
        }

    def _run_as_json(self) -> dict[str, Any]:
        """Return what is recorded about the last run; instants are in UTC, as ISO 8601."""
        run = self.last_run
        ends = {"last_run": run and run.ended, "last_success": run and run.succeeded}
        return {
            **{name: instant_of(end).isoformat() if end else "" for name, end in ends.items()},
            "last_exit_code": run and run.exit_code,
            "last_reason": run.reason if run else "",
        }

    def as_text(self) -> str:
        """Return one line for each month, with one mark for each day."""
        legend = "  ".join(f"{mark} {state}" for state, mark in MARKS.items())
        ruler = " " * 9 + "".join(f"{day:<5}" for day in range(1, 32, 5))
        lines = [f"{month:%Y-%m}  {marks_of(days)}" for month, days in self._months()]
        return "\n".join([self.title, self.news, ruler.rstrip(), *lines, legend])

    def as_html(self) -> str:
        """Return a page that loads no other file."""
        page = Template(files(__package__).joinpath("calendar.html").read_text(encoding="utf-8"))
        months = "\n".join(self._table(month, days) for month, days in self._months())
        legend = "".join(
            f'<li class="{s}">{m}</li> {s} ({self.counts[s]})' for s, m in MARKS.items()
        )
        return page.substitute(
            dataset=escape(self.name),
            title=escape(f"{self.title}; {self.news}"),
            legend=legend,
            months=months,
        )

    def _months(self) -> Iterator[tuple[date, dict[date, State]]]:
        for month, items in groupby(self.states.items(), lambda item: item[0].replace(day=1)):
            yield month, dict(items)

    def _table(self, month: date, days: dict[date, State]) -> str:
        weeks = calendar.Calendar().monthdatescalendar(month.year, month.month)
        lines = ("".join(self._cell(day, days) for day in week) for week in weeks)
        body = "".join(f"<tr>{cells}</tr>" for cells in lines)
        return f"<table><caption>{month:%Y-%m}</caption>{body}</table>"

    def _cell(self, day: date, days: dict[date, State]) -> str:
        if day not in days:
            return "<td></td>"
        entry = self.store.entries.get(day)
        more = f", {entry.rows} rows" if entry and entry.is_held else f" {self.reason(day)}"
        title = escape(f"{day}: {days[day]}{more}".rstrip())
        return f'<td class="{days[day]}" title="{title}">{day.day}</td>'


def marks_of(days: dict[date, State]) -> str:
    """Return the marks of one month, each in the column of its day of the month."""
    marks = {day.day: MARKS[state] for day, state in days.items()}
    return "".join(marks.get(number, " ") for number in range(1, 32)).rstrip()


def open_calendar(
    folder: Path,
    start: str | None = None,
    end: str | None = None,
    *,
    today: str | None = None,
    lookback: int | None = None,
) -> Calendar:
    """Return the calendar from START to END; without them, of the range ever requested."""
    store = Store(folder).load()
    now = today_in(zone(store.dataset.time_zone))
    store.set_today(parse_day(today, now) if today else now)
    first, last = range_of(store, start, end)
    states = {day: store.state(day, lookback) for day in days_between(first, last)}
    return Calendar(store, states, load_last_run(folder))


def range_of(store: Store, start: str | None, end: str | None) -> tuple[date, date]:
    """Return the range from START to END; without END, up to the last day that is wanted."""
    dataset, today = store.dataset, store.today
    ends = filter(None, (dataset.wanted_from, dataset.wanted_to))
    known = sorted([*store.entries, *ends])
    if start and (end or is_month(start)):
        return parse_range(start, end, today)
    if not known:
        advice = similar_to(store.folder) or "; name START and END"
        raise UsageError(f"nothing was ever fetched into {store.folder}{advice}")
    first = parse_day(start, today) if start else known[0]
    last = today if dataset.daily else min(today, known[-1])
    return first, max(first, last)
