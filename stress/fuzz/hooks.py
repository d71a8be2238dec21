"""What schemathesis cannot learn from the OpenAPI document."""

import re
import secrets
from typing import Any

import schemathesis
from hypothesis import strategies

from bookreview.isbn import with_check_digit

KEY = "Idempotency-Key"
VISIBLE = re.compile(r"[!-+\--~]{1,255}")
BODIES = strategies.integers(0, 10**9 - 1)
schemathesis.openapi.format("isbn", BODIES.map(lambda number: with_check_digit(f"978{number:09d}")))


@schemathesis.hook
def map_body(_: Any, body: Any) -> Any:
    """Send whole numbers without a fraction: 3.0 is valid by JSON Schema, but rejected here."""
    if not isinstance(body, dict):
        return body
    return {name: _to_integer(value) for name, value in body.items()}


@schemathesis.hook
def before_call(_: Any, case: Any, __: Any) -> None:
    """Replace each valid Idempotency-Key: a used key with another body is rejected."""
    if VISIBLE.fullmatch((case.headers or {}).get(KEY, "")):
        case.headers[KEY] = secrets.token_hex(16)


def _to_integer(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
