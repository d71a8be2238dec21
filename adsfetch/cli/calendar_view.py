"""The calendar of a dataset, as text and as an HTML page."""

import calendar
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from html import escape
from importlib.resources import files
from itertools import groupby
from string import Template
from typing import Any

from adsfetch.storage.states import MARKS, State
from adsfetch.storage.store import Store


@dataclass(frozen=True)
class Calendar:
    """The state of each day of a range, oldest first."""

    store: Store
    states: dict[date, State]

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
    def last_fetched(self) -> str:
        """Return in words when the newest rows were fetched."""
        day = self.store.last_fetched
        if day is None:
            return "nothing was fetched so far"
        ago = (self.store.today - day).days
        return f"last fetched on {day}" + (f", {ago} days ago" if ago else "")

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
            "counts": self.counts,
            "days": {str(day): state for day, state in self.states.items()},
            "reasons": self.reasons,
        }

    def as_text(self) -> str:
        """Return one line for each month, with one mark for each day."""
        legend = "  ".join(f"{mark} {state}" for state, mark in MARKS.items())
        ruler = " " * 9 + "".join(f"{day:<5}" for day in range(1, 32, 5))
        lines = [f"{month:%Y-%m}  {marks_of(days)}" for month, days in self._months()]
        return "\n".join([self.title, self.last_fetched, ruler.rstrip(), *lines, legend])

    def as_html(self) -> str:
        """Return a page that loads no other file."""
        page = Template(files(__package__).joinpath("calendar.html").read_text(encoding="utf-8"))
        months = "\n".join(self._table(month, days) for month, days in self._months())
        legend = "".join(
            f'<li class="{s}">{m}</li> {s} ({self.counts[s]})' for s, m in MARKS.items()
        )
        return page.substitute(
            dataset=escape(self.name),
            title=escape(f"{self.title}; {self.last_fetched}"),
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
