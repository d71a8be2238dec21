"""Tables for a terminal and for Markdown."""

from collections.abc import Sequence
from statistics import median

from stress.stats import percentile


def print_table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table: the first column is aligned to the left, figures to the right."""
    cells = [[str(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    rule = [f"{'':->{width - 1}}:" if n else "-" * width for n, width in enumerate(widths)]
    for row in (cells[0], rule, *cells[1:]):
        print("| " + " | ".join(_align(row, widths)) + " |")


def _align(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    first, *others = zip(row, widths, strict=True)
    return [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]


def in_ms(seconds: Sequence[float], percent: int) -> str:
    """Format a percentile of seconds in milliseconds."""
    return f"{percentile(seconds, percent) * 1000:.0f}"


def spread(values: Sequence[float]) -> str:
    """Format the median and the quartiles of ``values``."""
    return f"{median(values):.2f} ({percentile(values, 25):.2f}..{percentile(values, 75):.2f})"
