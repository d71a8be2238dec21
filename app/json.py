"""How JSON is written, everywhere in the service."""

from typing import Any

import orjson


def encode(document: Any) -> bytes:
    """Write JSON: date-times in UTC with a Z, decimals as strings."""
    return orjson.dumps(document, default=str, option=orjson.OPT_UTC_Z)


def escape_surrogates(text: str) -> str:
    """Write lone surrogates as escapes: clients can send them, and UTF-8 cannot encode them."""
    return text.encode("utf-8", "backslashreplace").decode()
