"""The behaviour of the server, and a log of the calls."""

import threading
from typing import Any

DEFAULTS: dict[str, Any] = {
    "rows": 3,
    "batch": 1000,
    "latency": 0.0,
    "clicks": 7,
    "empty": [],
    "restated": {},
    "clients": [],
    "time_zone": "Europe/Berlin",
    "expires_in": 3600,
    "rules": [],
}


class Behaviour:
    """Settings and rules; a rule applies ``times`` times, after ``after`` calls without it.

    A rule may name a ``day`` and a ``customer``; ``do`` is what happens instead of a response.
    Rules about tokens have ``on`` set to ``token``.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset({})

    def reset(self, settings: dict[str, Any]) -> None:
        """Clear the log and the tokens, and set new rules."""
        with self._lock:
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

    def rule_for(
        self, on: str, day: str | None = None, customer: str | None = None
    ) -> dict[str, Any]:
        """Return the rule that a call meets, or one that does nothing."""
        with self._lock:
            for rule in self.rules:
                of_day = rule.get("day", day) == day and rule.get("customer", customer) == customer
                if rule.get("on", "call") == on and of_day:
                    if rule.get("after", 0) > 0:
                        rule["after"] -= 1
                    elif rule.get("times", 1) > 0:
                        rule["times"] = rule.get("times", 1) - 1
                        return rule
        return {"do": "respond"}

    def record_call(self, customer: str, day: str | None, headers: dict[str, str]) -> None:
        """Record the start of a call, which is one operation."""
        with self._lock:
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
            self.headers = [headers]
            self.calls.append((customer, day))
            if day:
                self.days.append(day)

    def record_range(self, query: str) -> None:
        """Record a query for the rows of several days."""
        with self._lock:
            self.ranges.append(query)

    def record_end(self, *, served: bool) -> None:
        """Record the end of a call."""
        with self._lock:
            self.busy -= 1
            self.served += served

    def new_token(self) -> str:
        """Return a token that was never issued before."""
        with self._lock:
            self.tokens.append(f"token-{id(self)}-{len(self.tokens)}")
            return self.tokens[-1]

    def expire(self) -> None:
        """Refuse every token issued so far."""
        with self._lock:
            self.expired = set(self.tokens)

    def log(self) -> dict[str, Any]:
        """Return the log of the calls."""
        with self._lock:
            return {
                "days": self.days,
                "calls": self.calls,
                "ranges": self.ranges,
                "served": self.served,
                "tokens": len(self.tokens),
                "busiest": self.busiest,
                "headers": self.headers,
            }
