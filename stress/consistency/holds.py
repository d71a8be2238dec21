"""Holds of stock: each is committed or released, or it expires at its instant, by itself."""

from functools import partial

import orjson

from stress.consistency.history import Values, monotonic_time
from stress.consistency.records import Effect, Read
from stress.consistency.requests import (
    Choices,
    Outcome,
    ReadRequest,
    Requests,
    WriteRequest,
    body_of,
    new_token,
)
from stress.consistency.stock import fewer_available
from stress.consistency.timelines import CLOCK_ERROR, Condition, Fact, Span, shows, where
from stress.http_client import Response, get, json_request

RECENT = 8


class Holds(Requests):
    """Requests for holds."""

    def reads(self) -> Choices:
        return {self._get: 0.5}

    def writes(self) -> Choices:
        return {self._hold: 1, self._commit: 0.5, self._release: 0.3}

    def _get(self) -> ReadRequest | None:
        hold = self._recent()
        return ReadRequest(get(f"/holds/{hold}"), partial(_read, hold)) if hold else None

    def _hold(self) -> WriteRequest:
        product = self.rng.choice(self.resources.products)
        seconds = self.rng.choice([1, 1, 2, 3, 60])
        body = {"quantity": self.rng.choice([1, 2, 5, 12]), "reason": new_token()}
        message = json_request(
            "POST", f"/products/{product}/holds", orjson.dumps({**body, "expires_in": seconds})
        )
        effect = Effect("hold", {**body, "product_id": product})
        return WriteRequest("hold", message, [effect], partial(self._read_new, effect))

    def _read_new(self, effect: Effect, response: Response) -> Outcome:
        values = effect.values
        if response.status == 409:
            return [effect], [fewer_available(values["product_id"], values["quantity"])]
        hold = body_of(response)
        self.resources.holds.append(hold["id"])
        return [Effect("hold", hold, hold["id"])], [Fact("hold", hold["id"], shows_hold(hold))]

    def _commit(self) -> WriteRequest | None:
        hold = self._recent()
        if not hold:
            return None
        effect = Effect("hold", {"state": "committed"}, hold)
        message = json_request("POST", f"/holds/{hold}/commit", b"")
        return WriteRequest("hold committed", message, [effect], partial(_read_commit, effect))

    def _release(self) -> WriteRequest | None:
        hold = self._recent()
        if not hold:
            return None
        effect = Effect("hold", {"state": "released"}, hold, required=False)
        message = json_request("DELETE", f"/holds/{hold}", b"")
        return WriteRequest("hold released", message, [effect], partial(_read_release, effect))

    def _recent(self) -> int | None:
        return self.rng.choice(self.resources.holds[-RECENT:] or [None])


def shows_hold(hold: Values) -> Condition:
    """Return the condition that a hold is what a response shows: after its time it is expired."""
    fields = shows({name: value for name, value in hold.items() if name != "state"})
    state = hold["state"]

    def condition(values: Values, span: Span) -> float | None:
        if fields(values, span) is None:
            return None
        if state == "expired":
            return span.until if _has_expired(values, span.ended) else None
        last = span.until
        if state == "held":
            last = min(last, monotonic_time(values["expires_at"]) + CLOCK_ERROR)
        return last if values["state"] == state and span.since <= last else None

    return condition


def _has_expired(values: Values, until: float) -> bool:
    if values.get("state") != "held":
        return False
    return monotonic_time(values["expires_at"]) - CLOCK_ERROR <= until


def _read(hold: int, response: Response) -> Read:
    if response.status != 200:
        return Read(response, "hold")
    return Read(response, "hold", [Fact("hold", hold, shows_hold(body_of(response)))])


def _read_commit(effect: Effect, response: Response) -> Outcome:
    row = effect.row or 0
    if response.status == 200:
        hold = body_of(response)
        sold = {"reason": hold["reason"], "delta": -hold["quantity"]}
        effects = [Effect("hold", hold, row), Effect("stock_adjustment", sold)]
        return effects, [Fact("hold", row, shows_hold(hold))]
    detail = body_of(response)["detail"]
    if "archived" in detail:
        return [effect], []
    return [effect], [Fact("hold", row, _is_over)]


def _is_over(values: Values, span: Span) -> float | None:
    is_over = values.get("state") == "released" or _has_expired(values, span.ended)
    return span.until if is_over else None


def _read_release(effect: Effect, response: Response) -> Outcome:
    if response.status == 409:
        committed = where(lambda values: values.get("state") == "committed")
        return [effect], [Fact("hold", effect.row or 0, committed)]
    return [effect], [Fact("hold", effect.row or 0, _is_over)]
