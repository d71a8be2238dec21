"""The behaviour of the server, and a log of the calls."""

import threading
from typing import Any
from uuid import uuid4

DEFAULTS: dict[str, Any] = {
    "rows": 3,
    "batch": 1000,
    "latency": 0.0,
    "together": (0, 0),
    "clicks": 7,
    "empty": [],
    "restated": {},
    "clients": [],
    "time_zone": "Europe/Berlin",
    "expires_in": 3600,
    "rules": [],
}
LONGEST_WAIT = 60.0  # seconds


class Behaviour:
    """Settings, rules and a log; a call keeps those of its start until its end.

    A rule applies ``times`` times, after ``after`` calls without it. It may name a ``day`` and a
    ``customer``; ``do`` is what happens instead of a response. Rules about tokens have ``on`` set
    to ``token``. ``together``: the first and the last number of calls for rows, counted from 1,
    that wait until all of them have begun.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._changed = threading.Condition()
        self.settings = {**DEFAULTS, **settings}
        self.rules = [dict(rule) for rule in self.settings["rules"]]
        self.days: list[str] = []
        self.calls: list[tuple[str, str | None]] = []
        self.ranges: list[str] = []
        self.tokens: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.expired: set[str] = set()
        self.served = 0
        self.busy = self.busiest = 0

    def change(self, settings: dict[str, Any]) -> None:
        """Change settings, and keep the rules and the log."""
        with self._changed:
            self.settings |= settings
            self._changed.notify_all()

    def rule_for(
        self, on: str, day: str | None = None, customer: str | None = None
    ) -> dict[str, Any]:
        """Return the rule that a call meets, or one that does nothing."""
        with self._changed:
            for rule in self.rules:
                of_day = rule.get("day", day) == day and rule.get("customer", customer) == customer
                if rule.get("on", "call") == on and of_day:
                    if rule.get("after", 0) > 0:
                        rule["after"] -= 1
                    elif rule.get("times", 1) > 0:
                        rule["times"] = rule.get("times", 1) - 1
                        if rule["do"] == "expire_now":
                            self.expired = set(self.tokens)
                        return rule
        return {"do": "respond"}

    def record_call(self, customer: str, day: str | None, headers: dict[str, str]) -> None:
        """Record the start of a call, which is one operation."""
        with self._changed:
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
            self.headers = [headers]
            self.calls.append((customer, day))

    def record_query(self, queries: list[str], query: str) -> None:
        """Record a query for rows, in the list of days or of ranges, and wait for others."""
        with self._changed:
            queries.append(query)
            self._changed.notify_all()
            number = self._queries()
            self._changed.wait_for(lambda: self._may_go_on(number), LONGEST_WAIT)

    def _queries(self) -> int:
        return len(self.days) + len(self.ranges)

    def _may_go_on(self, number: int) -> bool:
        first, last = self.settings["together"]
        return not first <= number <= last or self._queries() >= last

    def record_end(self, *, served: bool) -> None:
        """Record the end of a call."""
        with self._changed:
            self.busy -= 1
            self.served += served

    def new_token(self) -> str:
        """Return a token that was never issued before."""
        with self._changed:
            self.tokens.append(f"token-{uuid4().hex}")
            return self.tokens[-1]

    def log(self) -> dict[str, Any]:
        """Return the log of the calls."""
        with self._changed:
            return {
                "days": self.days,
                "calls": self.calls,
                "ranges": self.ranges,
                "served": self.served,
                "tokens": len(self.tokens),
                "busiest": self.busiest,
                "headers": self.headers,
            }
