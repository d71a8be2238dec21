"""The service with its subscriptions broken on purpose, to show that the judge can see.

BROKEN names how: ``after`` is not heard, ``repeat`` gives the event of the cursor once more,
``swap`` gives what a subscriber has missed in another order.
"""

import os
from typing import Any

from app.live import hub
from app.live.ring import Ring
from asgi import app

__all__ = ["app"]


def _from_now_on(_: str, ring: Any) -> int:
    return int(ring.position)


def _from_before(after: str, _: Any) -> int:
    return max(0, int(after.partition("-")[2]) - 1)


def _swapped(self: Ring, position: int, topic: str | None) -> Any:
    found = _since(self, position, topic)
    return found and found[::-1]


_since = Ring.since
match os.environ["BROKEN"]:
    case "after":
        setattr(hub, "_place", _from_now_on)  # noqa: B010
    case "repeat":
        setattr(hub, "_place", _from_before)  # noqa: B010
    case "swap":
        setattr(Ring, "since", _swapped)  # noqa: B010
