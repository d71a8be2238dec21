"""A report's fields, and the GAQL for one day of it."""

import hashlib
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from adsfetch.errors import UsageError

CLAUSE = re.compile(r"\b(SELECT|FROM|WHERE|ORDER\s+BY|LIMIT|PARAMETERS)\b", re.IGNORECASE)
QUOTED = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"")
FIELD = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)+")
DAY = "segments.date"
DEFAULT = Path(__file__).with_name("campaign.gaql")


@dataclass(frozen=True)
class Report:
    """A query without its date, cut into its clauses."""

    name: str
    fields: tuple[str, ...]
    clauses: dict[str, str]

    def gaql_for(self, day: date) -> str:
        """Return the query of one day."""
        where = self.clauses.get("WHERE")
        on_day = f"{DAY} = '{day}'" + (f" AND {where}" if where else "")
        parts = {**self.clauses, "SELECT": ", ".join(self.fields), "WHERE": on_day}
        order = ("SELECT", "FROM", "WHERE", "ORDER BY", "LIMIT", "PARAMETERS")
        return " ".join(f"{name} {parts[name]}" for name in order if name in parts)

    @property
    def fingerprint(self) -> str:
        """Return what stays the same however the query is laid out."""
        text = " ".join(f"{name} {self.clauses[name]}" for name in sorted(self.clauses))
        return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:12]


def load(path: Path | None) -> Report:
    """Read a query from a file; without one, the figures of each campaign."""
    path = path or DEFAULT
    try:
        return parse(path.stem, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the query {path}: {error}") from None


def parse(name: str, gaql: str) -> Report:
    """Return the report that a query describes; raise UsageError when it cannot go by days."""
    clauses = cut(gaql.strip().rstrip(";"))
    if not {"SELECT", "FROM"} <= clauses.keys():
        raise UsageError(f"the query {name} has not both of SELECT and FROM")
    if DAY in clauses.get("WHERE", "").lower():
        raise UsageError(f"leave {DAY} out of WHERE in the query {name}: days are asked one by one")
    return Report(name, fields_of(name, clauses["SELECT"]), clauses)


def cut(gaql: str) -> dict[str, str]:
    """Return the text of each clause; words inside quotes begin none."""
    masked = QUOTED.sub(lambda match: "'" * len(match[0]), gaql)
    starts = list(CLAUSE.finditer(masked))
    ends = [*(match.start() for match in starts), len(gaql)][1:]
    return {
        " ".join(match[1].upper().split()): gaql[match.end() : end].strip()
        for match, end in zip(starts, ends, strict=True)
    }


def fields_of(name: str, select: str) -> tuple[str, ...]:
    """Return the selected fields, the day among them in any case."""
    fields = tuple(field.strip().lower() for field in select.split(","))
    for field in fields:
        if not FIELD.fullmatch(field):
            raise UsageError(f"the query {name} selects {field!r}, which is no field")
    if len(set(fields)) < len(fields):
        raise UsageError(f"the query {name} selects a field twice")
    return fields if DAY in fields else (DAY, *fields)
