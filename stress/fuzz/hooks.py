"""What schemathesis has to be told beside the document."""

import re
import secrets
from typing import Any

import schemathesis
from hypothesis import strategies

from bookreview.isbn import with_check_digit

KEY = "Idempotency-Key"
VISIBLE = re.compile(r"[!-~]{1,255}")
BODIES = strategies.integers(0, 10**9 - 1)
schemathesis.openapi.format("isbn", BODIES.map(lambda number: with_check_digit(f"978{number:09d}")))


@schemathesis.hook
def map_body(_: Any, body: Any) -> Any:
    """Write whole numbers without a fraction: to JSON Schema 3.0 is one, and we refuse it."""
    if not isinstance(body, dict):
        return body
    return {name: _whole(value) for name, value in body.items()}


@schemathesis.hook
def before_call(_: Any, case: Any, __: Any) -> None:
    """Send each good Idempotency-Key once: with another body, a used one is rightly refused."""
    if VISIBLE.fullmatch((case.headers or {}).get(KEY, "")):
        case.headers[KEY] = secrets.token_hex(16)


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
