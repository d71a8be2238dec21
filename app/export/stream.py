"""The body of an export: the rows of a snapshot, written and compressed batch by batch."""

import zlib
from collections.abc import Iterator
from typing import Any

from sqlalchemy.sql import Select

from app.db.snapshots import SnapshotEnded
from app.events.snapshot import open_snapshot
from app.export.formats import Format
from app.http.response import BodyStream
from app.http.streams import StreamEnded
from app.services import Services

GZIP_LEVEL = 1
"""Level 5, which other responses have, takes three times as long and saves little."""
GZIP_FORMAT = 16 + zlib.MAX_WBITS


class ExportStream(BodyStream):
    """The rows of ``statement`` in a format; the snapshot ends with the last of them.

    It is opened, and the first chunk made, before the response begins: so a failure has a status
    of its own. Raise TooManyExports, or an error of SQLAlchemy.
    """

    def __init__(
        self, services: Services, statement: Select[*tuple[Any, ...]], form: Format, *, gzip: bool
    ) -> None:
        names = [str(column.key) for column in statement.selected_columns]
        head, write = form.make(names)
        engine, snapshots = services.autocommit_engine, services.snapshots
        self._snapshot, self.cursor = open_snapshot(engine, snapshots)
        batches = self._snapshot.batches(statement)
        plain = (write(batch) for batch in batches)
        self._chunks = _compressed(head, plain) if gzip else _with_head(head, plain)
        try:
            self._first: bytes | None = next(self._chunks, b"")
        except BaseException:
            self.close()
            raise

    def __next__(self) -> bytes:
        if self._first is not None:
            chunk, self._first = self._first, None
            if chunk:
                return chunk
        try:
            return next(self._chunks)
        except SnapshotEnded as error:
            raise StreamEnded(str(error)) from None

    def close(self) -> None:
        """End the snapshot."""
        self._snapshot.close()


def _with_head(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield head + next(chunks, b"")
    yield from chunks


def _compressed(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    compressor = zlib.compressobj(GZIP_LEVEL, wbits=GZIP_FORMAT)
    for chunk in _with_head(head, chunks):
        if compressed := compressor.compress(chunk):
            yield compressed
    yield compressor.flush()
