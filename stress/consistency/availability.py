"""How many units of a product are available: holds end at their instant, without a write."""

from collections.abc import Callable
from math import inf

from stress.consistency.history import Values
from stress.consistency.timelines import CLOCK_ERROR, Condition, shows


def last_available(
    values: Values, since: float, until: float, is_shown: Callable[[int], object]
) -> float | None:
    """Return the last time between two at which ``is_shown`` accepts the units available."""
    holds = values["holds"]
    units = values["stock_level"]
    bounds = [-inf, *(expiry for expiry, _ in holds), inf]
    for index in range(len(holds), -1, -1):
        first = max(since, bounds[index] - CLOCK_ERROR)
        last = min(until, bounds[index + 1] + CLOCK_ERROR)
        if first <= last and is_shown(units):
            return float(last)
        units -= holds[index - 1][1] if index else 0
    return None


def with_available(is_shown: Callable[[Values, int], object]) -> Condition:
    """Return the condition that a product exists and ``is_shown`` accepts it and its units."""

    def condition(values: Values, since: float, until: float) -> float | None:
        if not values:
            return None
        return last_available(values, since, until, lambda units: is_shown(values, units))

    return condition


def shows_product(item: Values) -> Condition:
    """Return the condition that a product is what a response shows."""
    fields = {name: value for name, value in item.items() if name != "available"}
    available, has_values = item.get("available"), shows(fields)

    def condition(values: Values, since: float, until: float) -> float | None:
        last = has_values(values, since, until)
        if last is None or available is None:
            return last
        return last_available(values, since, until, lambda units: units == available)

    return condition


def shows_etag(etag: str, *, equal: bool = True) -> Condition:
    """Return the condition that a product has this ETag: its version, with live holds the units."""
    version, _, available = etag.strip('"').partition("-")

    def is_shown(values: Values, units: int) -> bool:
        expected = int(available) if available else values["stock_level"]
        return ((values["version"], units) == (int(version), expected)) is equal

    return with_available(is_shown)
