"""All datasets of a folder at once: a strip of days for each, as text and as an HTML page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from importlib.resources import files
from itertools import groupby
from string import Template
from textwrap import shorten
from typing import Any

from adsfetch.cli.calendar_view import Calendar
from adsfetch.storage.states import MARKS

DAYS_SHOWN = 60
REASON_WIDTH = 100


@dataclass(frozen=True)
class Overview:
    """The calendars of all datasets, in the order of their names."""

    calendars: Sequence[Calendar]
    shorten: bool
    """Show the last days only, because no range was asked for."""

    @property
    def days(self) -> list[date]:
        """Return the days that are shown, oldest first."""
        days = sorted({day for calendar in self.calendars for day in calendar.states})
        return days[-DAYS_SHOWN:] if self.shorten else days

    @property
    def title(self) -> str:
        """Return in one line how many datasets lack days."""
        days, number = self.days, len(self.calendars)
        bad = sum(bool(calendar.lacking) for calendar in self.calendars)
        return f"{number} datasets, {days[0]} to {days[-1]}: {number - bad} without gaps, {bad} not"

    def as_json(self) -> dict[str, Any]:
        """Return the overview without the single days, which `status --dataset` shows."""
        records = []
        for calendar in self.calendars:
            record = calendar.as_json()
            del record["days"], record["reasons"]
            records.append({**record, "lacking": calendar.lacking})
        return {"from": str(self.days[0]), "to": str(self.days[-1]), "datasets": records}

    def as_text(self) -> str:
        """Return one line for each dataset, with one mark for each day."""
        legend = "  ".join(f"{mark} {state}" for state, mark in MARKS.items())
        width = max(len(calendar.name) for calendar in self.calendars)
        lines = [
            f"{calendar.name:<{width}}  {self._marks(calendar)}  {words_of(calendar)}".rstrip()
            for calendar in self.calendars
        ]
        return "\n".join([self.title, *lines, legend])

    def problems(self) -> list[str]:
        """Return what is wrong, one line for each dataset with which something is."""
        return [problem for calendar in self.calendars for problem in calendar.problems()]

    def as_html(self) -> str:
        """Return a page that loads no other file; two hundred datasets fit on a screen."""
        page = Template(files(__package__).joinpath("overview.html").read_text(encoding="utf-8"))
        legend = "".join(f'<li class="{s}">{m}</li> {s}' for s, m in MARKS.items())
        rows = "\n".join(self._row(calendar) for calendar in self.calendars)
        return page.substitute(
            title=escape(self.title), legend=legend, rows=rows, days=len(self.days)
        )

    def _marks(self, calendar: Calendar) -> str:
        states = calendar.states
        return "".join(MARKS[states[day]] if day in states else " " for day in self.days)

    def _row(self, calendar: Calendar) -> str:
        name, words = escape(calendar.name), escape(calendar.lacking_in_words)
        strip = "".join(self._spans(calendar))
        bad = ' class="bad"' if words else ""
        return (
            f'<div><span{bad} title="{escape(calendar.news)}">{name}</span>'
            f'<svg viewBox="0 0 {len(self.days)} 1" preserveAspectRatio="none" role="img" '
            f'aria-label="{name}: {words or "no gaps"}">{strip}</svg></div>'
        )

    def _spans(self, calendar: Calendar) -> Iterator[str]:
        """Yield a rectangle for each series of days in the same state."""
        states = [(number, day, calendar.states.get(day)) for number, day in enumerate(self.days)]
        for state, group in groupby(states, lambda item: item[2]):
            span = list(group)
            first, last = span[0], span[-1]
            if state is not None:
                title = f"{calendar.name}: {first[1]} to {last[1]}, {state}"
                yield (
                    f'<rect class="{state}" x="{first[0]}" width="{len(span)}" height="1">'
                    f"<title>{escape(title)}</title></rect>"
                )


def words_of(calendar: Calendar) -> str:
    """Return in words what is wrong: the days that are lacking, and why the last run failed."""
    run = calendar.last_run
    reason = shorten(run.reason, REASON_WIDTH, placeholder="...") if run and run.exit_code else ""
    return "; ".join(filter(None, [calendar.lacking_in_words, reason]))
