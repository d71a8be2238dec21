"""Rows of the Google Ads API as people read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any

from adsfetch.errors import QueryError

MICROS = "_micros"


class Fields:
    """The selected fields of a report, and how each becomes a cell.

    Enums become their names, repeated values a list with semicolons, and an amount in micros
    gets a column in the account's currency after it. A value that the API left out is blank:
    a share of nothing is not zero.
    """

    def __init__(self, row: Any, paths: Sequence[str]) -> None:
        """Find each path in the descriptor of a row; raise QueryError for one that is not there."""
        found = [locate(row, path) for path in paths]
        real = [name for name, _ in found]
        leaves = [leaf for _, leaf in found]
        self._get = attrgetter(*real) if len(real) > 1 else lambda row: (attrgetter(real[0])(row),)
        self._shown = [(at, show) for at, leaf in enumerate(leaves) if (show := reader(leaf))]
        self._optional = [
            (at, attrgetter(name.rpartition(".")[0]), leaf.name)
            for at, (name, leaf) in enumerate(found)
            if leaf.has_presence and leaf.message_type is None
        ]
        money = [at for at, leaf in enumerate(leaves) if leaf.name.endswith(MICROS)]
        self._money = list(reversed(money))
        names = list(paths)
        for at in self._money:
            names.insert(at + 1, names[at].removesuffix(MICROS))
        self.names = tuple(names)

    def rows(self, results: Iterable[Any]) -> Iterator[dict[str, Any]]:
        """Yield each row as a mapping of its names."""
        names = self.names
        for row in results:
            yield dict(zip(names, self._cells(row), strict=True))

    def _cells(self, row: Any) -> list[Any]:
        cells = list(self._get(row))
        if not all(cells):
            for at, parent, leaf in self._optional:
                if not cells[at] and not parent(row).HasField(leaf):
                    cells[at] = None
        for at, show in self._shown:
            cells[at] = show(cells[at])
        for at in self._money:
            cells.insert(at + 1, currency(cells[at]))
        return cells


def locate(row: Any, path: str) -> tuple[str, Any]:
    """Return where a field is in Python, where ``type`` is ``type_``, and its descriptor."""
    message, leaf, real = row, None, []
    for name in path.split("."):
        known = message.fields_by_name if message is not None else {}
        leaf = known.get(name) or known.get(f"{name}_")
        if leaf is None:
            raise QueryError(f"this version of the API has no field {path}")
        real.append(leaf.name)
        message = leaf.message_type
    return ".".join(real), leaf


def reader(leaf: Any) -> Callable[[Any], Any] | None:
    """Return what makes a value readable, or None where it already is."""
    show = one(leaf)
    if leaf.is_repeated:
        return lambda values: ";".join(str(show(value) if show else value) for value in values)
    return show


def one(leaf: Any) -> Callable[[Any], Any] | None:
    """Return the same for a single value."""
    if leaf.enum_type is not None:
        names = {number: value.name for number, value in leaf.enum_type.values_by_number.items()}
        return lambda number: names.get(number, number)
    return as_json if leaf.message_type is not None else None


def as_json(message: Any) -> str:
    """Return a whole message in one line."""
    from google.protobuf.json_format import MessageToJson  # noqa: PLC0415 - rarely needed

    return str(MessageToJson(message, indent=None, preserving_proto_field_name=True))


def currency(micros: int | None) -> str | None:
    """Return millionths of a currency as an exact decimal number."""
    if micros is None:
        return None
    whole, rest = divmod(abs(micros), 1_000_000)
    return f"{'-' if micros < 0 else ''}{whole}.{rest:06d}"
