"""Delta Lake: a table with one transaction for each month that changes."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError

from adsfetch.errors import StoreError, UsageError
from adsfetch.export.target import BYTES_AT_ONCE, ROWS_AT_ONCE, Partition, Target
from adsfetch.export.types import ARROW_TYPES, merged, types_of

FORBIDDEN = frozenset(" ,;{}()\n\t=")
"""Delta allows no such character in the name of a column: other readers refuse the table."""
UNREADABLE = re.compile(r"%[0-9A-Fa-f]{2}|[\[\]\\^|]|[\0-\x1f]")
"""What the library does not write in a path, or does not find again."""
GONE = 0
"""The mark of a partition that was removed."""


class DeltaTarget(Target):
    """A Delta table.

    The mark of a partition is the version of the last transaction of an application of its
    name. The log has it with the rows in one commit, and keeps it when it is compacted.
    """

    def __init__(self, folder: Path, key: str) -> None:
        super().__init__(folder, key)
        if odd := UNREADABLE.search(f"{folder.absolute()}"):
            raise UsageError(f"no Delta table can be in {folder}: its path contains {odd[0]!r}")

    @property
    def types(self) -> dict[str, str]:
        found = types_of(self._schema) if self._table is not None else {}
        return {name: kind for name, kind in found.items() if name != self.key}

    @property
    def partitions(self) -> set[str]:
        found = self._table.partitions() if self._table is not None else []
        return {each[self.key] for each in found}

    def mark(self, name: str) -> int | None:
        return (
            self._table.transaction_version(application(name)) if self._table is not None else None
        )

    def schema(self, types: Mapping[str, str]) -> Any:
        """Return the schema; Delta has no enums, but a dictionary in each file all the same."""
        if odd := [name for name in types if FORBIDDEN & {*name}]:
            raise UsageError(f"a Delta table can have no column {odd[0]!r}: use --to parquet")
        kinds = {name: "string" if kind == "enum" else kind for name, kind in types.items()}
        columns = [(name, ARROW_TYPES[kind]) for name, kind in kinds.items()]
        return pa.schema([*columns, (self.key, pa.string())])

    def write(self, partitions: Sequence[Partition], schema: Any) -> None:
        names = [partition.name for partition in partitions]
        same = self._table is not None and self._schema.equals(schema)
        tables = chain.from_iterable(self._tables(p, schema) for p in partitions)
        with self._errors() as watch:
            write_deltalake(
                self._table or self.folder,
                pa.RecordBatchReader.from_batches(schema, watch(tables)),
                mode="overwrite",
                partition_by=[self.key],
                predicate=self._are(names) if same else None,
                schema_mode=None if same else "overwrite",
                commit_properties=commit_properties({p.name: p.mark for p in partitions}),
            )
        if self._table is None:
            del self.__dict__["_table"]  # look again

    def remove(self, names: Iterable[str]) -> None:
        marks = dict.fromkeys(names, GONE)
        if self._table is not None and marks:
            with self._errors():
                properties = commit_properties(marks)
                self._table.delete(self._are(marks), commit_properties=properties)

    @cached_property
    def _table(self) -> DeltaTable | None:
        try:
            with self._errors():
                table = DeltaTable(self.folder)
        except StoreError as error:
            if isinstance(error.__cause__, TableNotFoundError):
                return None
            raise
        if (by := table.metadata().partition_columns) != [self.key]:
            raise UsageError(f"{self.folder} is partitioned by {by}: choose another folder")
        return table

    @property
    def _schema(self) -> Any:
        return pa.schema(self._table.schema().to_arrow()) if self._table is not None else None

    def _tables(self, partition: Partition, schema: Any) -> Iterator[Any]:
        for table in merged(partition.batches, ROWS_AT_ONCE, BYTES_AT_ONCE):
            names = pa.array([partition.name] * len(table), pa.string())
            for batch in table.append_column(self.key, names).to_batches():
                yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)

    def _are(self, names: Iterable[str]) -> str:
        """Return the condition for the rows of some partitions."""
        return f"{self.key} IN ({', '.join(repr(name) for name in names)})"

    @contextmanager
    def _errors(self) -> Iterator[Callable[[Iterator[Any]], Iterator[Any]]]:
        """Turn errors of Delta into a StoreError, and raise those of the rows as they were."""
        raised: list[BaseException] = []

        def watch(rows: Iterator[Any]) -> Iterator[Any]:
            try:
                yield from rows
            except BaseException as error:
                raised.append(error)
                raise

        try:
            yield watch
        except (DeltaError, OSError, pa.ArrowException) as error:
            if raised:
                raise raised[0] from None
            reason = str(error).partition("\n")[0]
            raise StoreError(f"cannot use the Delta table {self.folder}: {reason}") from error


def application(name: str) -> str:
    """Return the name under which the log has the mark of a partition."""
    return f"adsfetch {name}"


def commit_properties(marks: Mapping[str, int]) -> CommitProperties:
    """Return what a commit says about the partitions that it changes."""
    transactions = [Transaction(application(name), mark) for name, mark in marks.items()]
    return CommitProperties(app_transactions=transactions)
