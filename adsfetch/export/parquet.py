"""Parquet: one file for each partition, with its mark in the footer."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from adsfetch.export.target import BYTES_AT_ONCE, ROWS_AT_ONCE, Partition, Target
from adsfetch.export.types import ARROW_TYPES, merged, types_of
from adsfetch.storage import atomic

FILE = "rows.parquet"
MARK = b"adsfetch.mark"


class ParquetTarget(Target):
    """A folder such as ``partition_month=2024-02`` for each partition, with one file."""

    def __init__(self, folder: Path, key: str) -> None:
        super().__init__(folder, key)
        self._footers: dict[str, Any] = {}

    @property
    def types(self) -> dict[str, str]:
        footers = (self._footer(name) for name in sorted(self.partitions))
        footer = next(filter(None, footers), None)
        return types_of(footer.schema.to_arrow_schema()) if footer else {}

    @property
    def partitions(self) -> set[str]:
        found = self.folder.glob(f"{self.key}=*/{FILE}")
        return {path.parent.name.partition("=")[2] for path in found}

    def mark(self, name: str) -> int | None:
        footer = self._footer(name)
        mark = (footer.metadata or {}).get(MARK, b"") if footer else b""
        return int(mark) if mark.isdigit() else None

    def schema(self, types: Mapping[str, str]) -> Any:
        return pa.schema([(name, ARROW_TYPES[kind]) for name, kind in types.items()])

    def write(self, partitions: Sequence[Partition], schema: Any) -> None:
        for partition in partitions:
            path = self._path(partition.name)
            with atomic.disk_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                atomic.remove_leftovers(path)
            marked = schema.with_metadata({MARK: str(partition.mark)})
            with (
                atomic.temporary_file(path) as temp,
                atomic.disk_errors(path),
                pq.ParquetWriter(temp, marked, compression="zstd") as writer,
            ):
                for table in merged(partition.batches, ROWS_AT_ONCE, BYTES_AT_ONCE):
                    writer.write_table(table.replace_schema_metadata(marked.metadata))
            atomic.move_into_place(Path(temp.name), path)
            self._footers.pop(partition.name, None)

    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            path = self._path(name)
            with atomic.disk_errors(path):
                path.unlink(missing_ok=True)
                atomic.remove_leftovers(path)
                with suppress(OSError):  # there is something else in it
                    path.parent.rmdir()

    def _path(self, name: str) -> Path:
        return self.folder / f"{self.key}={name}" / FILE

    def _footer(self, name: str) -> Any:
        """Return what the file of a partition says about itself; None if it cannot be read."""
        if name not in self._footers:
            self._footers[name] = None
            with suppress(OSError, pa.ArrowException):
                self._footers[name] = pq.read_metadata(self._path(name))
        return self._footers[name]
