"""Queries with one selection of fields, read in batches of rows."""

from collections.abc import Iterator, Sequence
from typing import Any

from adsfetch.google.fields import Fields
from adsfetch.google.gapic_adapter import SelectFields
from adsfetch.sources import Batch

ROWS_AT_ONCE = 250  # as many as fit into the caches of a processor


class Search:
    """Run queries that select the same fields; many threads may use it at once."""

    def __init__(self, row: Any, select_fields: SelectFields, paths: Sequence[str]) -> None:
        """Prepare a search; ``row`` is the descriptor of the rows."""
        self._fields = Fields(row, paths)
        self._open_stream = select_fields(self._fields.attribute_paths)

    def batches(self, gaql: str, timeout: float) -> Iterator[Batch]:
        """Yield the rows of a query in batches."""
        stream = self._open_stream(gaql, timeout)
        try:
            for response in stream:
                for start in range(0, len(response.results), ROWS_AT_ONCE):
                    yield self._fields.batch(response.results[start : start + ROWS_AT_ONCE])
        finally:
            stream.cancel()
