"""What schemathesis cannot learn from the OpenAPI document."""

import re
import secrets
import unicodedata
from typing import Any

import schemathesis
from hypothesis import strategies

from bookreview.isbn import with_check_digit
from bookreview.models import AUTHOR_MAX, REVIEWER_MAX, TEXT_MAX, TITLE_MAX
from inventory.models import NAME_MAX, REASON_MAX, SKU_MAX

KEY = "Idempotency-Key"
VISIBLE = re.compile(r"[!-+\--~]{1,255}")
LIMITS = (AUTHOR_MAX, REVIEWER_MAX, TEXT_MAX, TITLE_MAX, NAME_MAX, REASON_MAX, SKU_MAX)
BODIES = strategies.integers(0, 10**9 - 1)
schemathesis.openapi.format("isbn", BODIES.map(lambda number: with_check_digit(f"978{number:09d}")))
NAMES = strategies.from_regex(r"[a-z][a-z0-9]{0,20}", fullmatch=True)
schemathesis.openapi.format("uri", NAMES.map(lambda name: f"https://{name}.example/{name}"))


@schemathesis.hook
def before_call(_: Any, case: Any, __: Any) -> None:
    """Change what is judged by more than the schema.

    A used Idempotency-Key with another body is rejected. A text may be longer than its limit if
    what is stored is not.
    """
    if VISIBLE.fullmatch((case.headers or {}).get(KEY, "")):
        case.headers[KEY] = secrets.token_hex(16)
    if isinstance(case.body, dict):
        case.body = {name: _visibly_long(value) for name, value in case.body.items()}


def _visibly_long(value: Any) -> Any:
    """Replace what a text loses before it is stored: only so is one over its limit rejected."""
    if not isinstance(value, str):
        return value
    stored = unicodedata.normalize("NFC", value.replace("\r\n", "\n")).strip()
    is_over = any(len(stored) <= limit < len(value) for limit in LIMITS)
    return stored.ljust(len(value), "*") if is_over else value
