"""How many units of a product are available: holds end at their instant, without a write."""

from collections.abc import Callable
from math import inf

from stress.consistency.history import Values
from stress.consistency.timelines import CLOCK_ERROR, Condition, Span, shows


def last_available(values: Values, span: Span, is_shown: Callable[[int], object]) -> float | None:
    """Return the last time in a span at which ``is_shown`` accepts the units available.

    A query sees the rows of one moment and reads the clock a little later. So a hold may expire
    after a state ended that is shown without it.
    """
    holds = values["holds"]
    units = values["stock_level"]
    bounds = [-inf, *(expiry for expiry, _ in holds), inf]
    for index in range(len(holds), -1, -1):
        first = max(span.since, bounds[index] - CLOCK_ERROR)
        last = min(span.ended, bounds[index + 1] + CLOCK_ERROR)
        if first <= last and is_shown(units):
            return float(min(last, span.until))
        units -= holds[index - 1][1] if index else 0
    return None


def with_available(is_shown: Callable[[Values, int], object]) -> Condition:
    """Return the condition that a product exists and ``is_shown`` accepts it and its units."""

    def condition(values: Values, span: Span) -> float | None:
        if not values:
            return None
        return last_available(values, span, lambda units: is_shown(values, units))

    return condition


def shows_product(item: Values) -> Condition:
    """Return the condition that a product is what a response shows."""
    fields = {name: value for name, value in item.items() if name != "available"}
    available, has_values = item.get("available"), shows(fields)

    def condition(values: Values, span: Span) -> float | None:
        last = has_values(values, span)
        if last is None or available is None:
            return last
        return last_available(values, span, lambda units: units == available)

    return condition


def shows_etag(etag: str, *, equal: bool = True) -> Condition:
    """Return the condition that a product has this ETag: its version, with live holds the units."""
    version, _, available = etag.strip('"').partition("-")

    def is_shown(values: Values, units: int) -> bool:
        expected = int(available) if available else values["stock_level"]
        return ((values["version"], units) == (int(version), expected)) is equal

    return with_available(is_shown)
