"""Convert rows of the Google Ads API to columns of text."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from operator import attrgetter, methodcaller
from typing import Any

from adsfetch.errors import QueryError
from adsfetch.sources import Batch

MICROS = "_micros"
DAY = "segments.date"

ToText = Callable[[Any], str]


class Fields:
    """The selected fields of a report, each with its conversion to columns.

    Enums become their names, repeated values a JSON array. An amount in micros is followed by a
    column with the same amount in the account's currency. A value that the API omits is blank,
    not zero.
    """

    def __init__(self, row: Any, paths: Sequence[str]) -> None:
        """Find each path in the descriptor of a row; raise QueryError for an unknown one."""
        self._fields = [find_field(row, path) for path in paths]
        self._parents = {field.parent: attrgetter(field.parent) for field in self._fields}
        self.names = tuple(name for field in self._fields for name in field.converters)
        self.types = {n: kind for field in self._fields for n, kind in field.types.items()}
        self.attribute_paths = tuple(field.attribute_path for field in self._fields)
        self.lists = tuple(field.path for field in self._fields if field.leaf.is_repeated)

    def batch(self, results: Iterable[Any]) -> Batch:
        """Return the cells of some rows, column by column.

        That is three times as fast as row by row: each part of a row is unpacked once, and
        the loops run in C.
        """
        rows = list(results)
        parts = {parent: list(map(get, rows)) for parent, get in self._parents.items()}
        columns = [c for field in self._fields for c in field.columns(parts[field.parent])]
        return Batch(self.names, columns, self.types)


@dataclass(frozen=True)
class Field:
    """One selected field: its path in GAQL, its parent message, and its descriptor."""

    path: str
    parent: str
    leaf: Any

    @property
    def attribute_path(self) -> str:
        """Return its path in Python, where ``type`` is ``type_``."""
        return f"{self.parent}.{self.leaf.name}"

    @cached_property
    def converters(self) -> dict[str, ToText | None]:
        """Return how a value becomes text, for each column by name: two for an amount in micros."""
        converters = {self.path: converter(self.leaf)}
        if self.leaf.name.endswith(MICROS):
            exact = self.leaf.type == self.leaf.TYPE_INT64  # a few fields are floats
            amount = self.path.removesuffix(MICROS)
            converters[amount] = exact_amount if exact else float_amount
        return converters

    @property
    def types(self) -> dict[str, str]:
        """Return the type of each of its columns; an amount is a decimal only if it is exact."""
        if self.path == DAY:
            return {self.path: "date"}
        types = dict.fromkeys(self.converters, type_of(self.leaf))
        if len(types) > 1 and self.leaf.type == self.leaf.TYPE_INT64:
            types[self.path.removesuffix(MICROS)] = "decimal"
        return types

    def columns(self, parts: Sequence[Any]) -> Iterator[list[str]]:
        """Yield its columns as text, from the parent messages of some rows."""
        values = list(map(attrgetter(self.leaf.name), parts))
        present = None
        if self.leaf.has_presence and self.leaf.message_type is None and not all(values):
            present = list(map(methodcaller("HasField", self.leaf.name), parts))
        for to_text in self.converters.values():
            if present:
                pairs = zip(values, present, strict=True)
                yield [(to_text or str)(value) if is_set else "" for value, is_set in pairs]
            else:
                yield list(map(to_text, values)) if to_text else values


def find_field(row: Any, path: str) -> Field:
    """Return the field at a path in GAQL; raise QueryError for an unknown one."""
    message, leaf, names = row, None, []
    for name in path.split("."):
        fields = message.fields_by_name if message is not None else {}
        leaf = fields.get(name) or fields.get(f"{name}_")
        if leaf is None:
            raise QueryError(f"this version of the API has no field {path}")
        names.append(leaf.name)
        message = leaf.message_type
    return Field(path, ".".join(names[:-1]), leaf)


def type_of(leaf: Any) -> str:
    """Return the type of the texts of a field, as ``Batch`` names it."""
    if leaf.is_repeated or leaf.message_type is not None:
        return "json"
    if leaf.enum_type is not None:
        return "enum"
    if leaf.type in (leaf.TYPE_DOUBLE, leaf.TYPE_FLOAT):
        return "double"
    if leaf.type in (leaf.TYPE_STRING, leaf.TYPE_BYTES):
        return "string"
    return "bool" if leaf.type == leaf.TYPE_BOOL else "int64"


def converter(leaf: Any) -> ToText | None:
    """Return the function that converts a value to text; None if it is text already."""
    to_text: ToText | None = None
    if leaf.enum_type is not None:
        values = leaf.enum_type.values_by_number.items()
        to_text = EnumNames((number, value.name) for number, value in values).__getitem__
    elif leaf.message_type is not None:
        to_text = as_json
    elif leaf.type == leaf.TYPE_BYTES:
        to_text = as_base64
    elif leaf.type != leaf.TYPE_STRING:
        to_text = str
    return array_converter(leaf, to_text) if leaf.is_repeated else to_text


def array_converter(leaf: Any, to_text: ToText | None) -> ToText:
    """Return the function that converts repeated values to a JSON array.

    Messages become objects, numbers numbers, anything else strings.
    """
    if leaf.message_type is not None:
        return lambda values: f"[{', '.join(map(as_json, values))}]"
    if leaf.enum_type is None and leaf.type not in (leaf.TYPE_STRING, leaf.TYPE_BYTES):
        to_text = None
    return lambda values: to_json([*map(to_text, values)] if to_text else [*values])


class EnumNames(dict[int, str]):
    """The names of an enum; a number unknown to this version of the API stays a number."""

    def __missing__(self, number: int) -> str:
        return str(number)


def as_json(message: Any) -> str:
    """Return a whole message in one line."""
    from google.protobuf.json_format import MessageToJson  # noqa: PLC0415 - rarely needed

    text = MessageToJson(message, indent=None, preserving_proto_field_name=True, ensure_ascii=False)
    return str(text)


def to_json(values: list[Any]) -> str:
    """Return values as a JSON array, with letters as they are."""
    return json.dumps(values, ensure_ascii=False)


def as_base64(data: bytes) -> str:
    """Return bytes as text, in the form that JSON has for them in protobuf."""
    return b64encode(data).decode("ascii")


def exact_amount(micros: int) -> str:
    """Return millionths of a currency as an exact decimal number."""
    if micros < 0:
        return f"-{exact_amount(-micros)}"
    return f"{micros // 1_000_000}.{micros % 1_000_000:06}"


def float_amount(micros: float) -> str:
    """Return the same for a float, with all of its digits."""
    return f"{Decimal(repr(micros)).scaleb(-6):f}"
