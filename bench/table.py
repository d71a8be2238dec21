"""Plain tables for a terminal and for Markdown alike."""

from collections.abc import Sequence
from statistics import median, quantiles


def show(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table: the first column to the left, figures to the right."""
    cells = [[str(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(heads))]
    rule = [f"{'':->{width - 1}}:" if at else "-" * width for at, width in enumerate(widths)]
    for row in (cells[0], rule, *cells[1:]):
        print("| " + " | ".join(_padded(row, widths)) + " |")


def _padded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    first, *others = zip(row, widths, strict=True)
    return [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value below which ``percent`` of ``values`` lie."""
    if len(values) < 2:
        return values[0] if values else float("nan")
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def spread(values: Sequence[float]) -> str:
    """Write the median and the middle half of ``values``."""
    return f"{median(values):.2f} ({percentile(values, 25):.2f}..{percentile(values, 75):.2f})"
