"""The account and the report: which fields, and the GAQL for one day."""

import hashlib
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from adsfetch.errors import UsageError

CLAUSE = re.compile(r"\b(SELECT|FROM|WHERE|ORDER\s+BY|LIMIT|PARAMETERS)\b", re.IGNORECASE)
QUOTED = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"")
FIELD = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)+")
ORDER = ("SELECT", "FROM", "WHERE", "ORDER BY", "LIMIT", "PARAMETERS")
DAY = "segments.date"
SEGMENTS, METRICS = "segments.", "metrics."
ONE_DAY_ONLY = frozenset(("click_view",))
STABLE = frozenset(("id", "resource_name"))
DEFAULT = Path(__file__).with_name("campaign.gaql")


@dataclass(frozen=True)
class Access:
    """How the API is accessed: through which manager account, and with whose credentials."""

    login_customer_id: str | None = None
    config: Path | None = None
    api_version: str | None = None

    @property
    def options(self) -> dict[str, str]:
        """Return what is not left at its default, as text."""
        config = self.config and str(self.config.absolute())
        given = {"login_customer_id": self.login_customer_id, "config": config}
        given["api_version"] = self.api_version
        return {name: value for name, value in given.items() if value}


@dataclass(frozen=True)
class Report:
    """A query without its date, split into its clauses."""

    name: str
    fields: tuple[str, ...]
    clauses: dict[str, str]

    def gaql_for(self, day: date) -> str:
        return self._gaql(self.fields, f"{DAY} = '{day}'")

    def gaql_between(self, first: date, last: date) -> str:
        """Return the query for the metrics of all rows of a range, both ends included.

        Raise UsageError if the rows of several days are not those of each day.
        """
        if "LIMIT" in self.clauses:
            raise UsageError(
                f"the query {self.name} has a LIMIT, which counts the rows of a whole call: "
                "its days cannot be compared by one call; fetch --refetch replaces them"
            )
        if self.resource in ONE_DAY_ONLY:
            raise UsageError(
                f"{self.resource} can only be asked for single days: its days cannot be compared "
                "by one call; fetch --refetch replaces them"
            )
        return self._gaql(self.row_fields, f"{DAY} BETWEEN '{first}' AND '{last}'")

    @property
    def row_fields(self) -> tuple[str, ...]:
        """Return the day, and the fields that determine which rows there are.

        A row is one resource of FROM, divided by segments and by fields of other resources. It is
        left out if all selected metrics are zero. So only the attributes of the resource itself
        and of the account, which has one row, make no difference.
        """
        alike = (f"{self.resource}.", "customer.")
        return (DAY, *(f for f in self.fields if f != DAY and not f.startswith(alike)))

    @property
    def metrics(self) -> tuple[str, ...]:
        return tuple(field for field in self.fields if field.startswith(METRICS))

    @property
    def resource(self) -> str:
        return self.clauses["FROM"].lower()

    @property
    def changing_conditions(self) -> tuple[str, ...]:
        """Return the attributes in WHERE, which can change later: then past days change too."""
        where = QUOTED.sub("''", self.clauses.get("WHERE", "")).lower()
        fields = dict.fromkeys(match[0] for match in FIELD.finditer(where))
        return tuple(
            field
            for field in fields
            if not field.startswith((SEGMENTS, METRICS)) and field.split(".")[-1] not in STABLE
        )

    def _gaql(self, fields: tuple[str, ...], condition: str) -> str:
        where = self.clauses.get("WHERE")
        conditions = condition + (f" AND {where}" if where else "")
        clauses = {**self.clauses, "SELECT": ", ".join(fields), "WHERE": conditions}
        if fields != self.fields:  # it may name a field that is not selected
            clauses.pop("ORDER BY", None)
        return " ".join(f"{name} {clauses[name]}" for name in ORDER if name in clauses)

    @property
    def text(self) -> str:
        """Return the query as it was written, in the usual order of the clauses."""
        return " ".join(f"{name} {self.clauses[name]}" for name in ORDER if name in self.clauses)

    @property
    def fingerprint(self) -> str:
        """Return a hash of the query that does not depend on its white space."""
        text = " ".join(f"{name} {self.clauses[name]}" for name in sorted(self.clauses))
        return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:12]


def load(path: Path | None) -> Report:
    """Read a query from a file; by default the metrics of each campaign."""
    path = path or DEFAULT
    try:
        return parse(path.stem, path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the query {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"cannot read the query {path}: {error}") from None


def parse(name: str, gaql: str) -> Report:
    """Return the report of a query; raise UsageError if it cannot be fetched day by day."""
    clauses = split_clauses(gaql.strip().rstrip(";"))
    if not {"SELECT", "FROM"} <= clauses.keys():
        raise UsageError(f"the query {name} needs both SELECT and FROM")
    if DAY in clauses.get("WHERE", "").lower():
        raise UsageError(
            f"remove {DAY} from WHERE in the query {name}: adsfetch inserts the day itself"
        )
    return Report(name, fields_of(name, clauses["SELECT"]), clauses)


def split_clauses(gaql: str) -> dict[str, str]:
    """Return the text of each clause; keywords inside quotes are ignored."""
    masked = QUOTED.sub(lambda match: "'" * len(match[0]), gaql)
    starts = list(CLAUSE.finditer(masked))
    ends = [*(match.start() for match in starts), len(gaql)][1:]
    return {
        " ".join(match[1].upper().split()): gaql[match.end() : end].strip()
        for match, end in zip(starts, ends, strict=True)
    }


def fields_of(name: str, select: str) -> tuple[str, ...]:
    """Return the selected fields; the day is added if it is not among them."""
    fields = tuple(field.strip().lower() for field in select.split(","))
    for field in fields:
        if not FIELD.fullmatch(field):
            raise UsageError(f"the query {name} selects {field!r}, which is not a field")
    if len(set(fields)) < len(fields):
        raise UsageError(f"the query {name} selects a field twice")
    return fields if DAY in fields else (DAY, *fields)
