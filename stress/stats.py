"""Statistics of measured values."""

from collections.abc import Mapping, Sequence
from statistics import quantiles


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value below which ``percent`` of ``values`` are."""
    if len(values) < 2:
        return values[0] if values else float("nan")
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def format_counts(counts: Mapping[str, int]) -> str:
    """Format counts by name, in the order of the names."""
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
