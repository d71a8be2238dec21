"""How JSON is read and written, everywhere in the service."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, NoReturn

import orjson

POINTER_MAX = 200
"""The characters of a JSON pointer that are reported: clients choose the names in it."""


class InvalidJson(ValueError):
    """The text is not JSON, or not JSON that we accept; the message is the reason."""


def decode(text: str | bytes, decoder: json.JSONDecoder) -> Any:
    """Read JSON; raise InvalidJson.

    Stricter than the standard library: UTF-8 without a byte order mark, no duplicate name, no NaN
    and no number that is too large. Lone surrogates are read: what a text may contain is a
    question for the field that gets it.
    """
    try:
        return decoder.decode(text if isinstance(text, str) else text.decode("utf-8"))
    except UnicodeDecodeError:
        raise InvalidJson("it is not UTF-8") from None
    except RecursionError:
        raise InvalidJson("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise InvalidJson(str(error)[:200]) from None
    except InvalidJson:
        raise
    except (ArithmeticError, ValueError):  # int() accepts 4,300 digits, as more take long
        raise InvalidJson("it contains a number that is too large") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise InvalidJson("an object has a duplicate name")
    return members


def _reject_constant(name: str) -> NoReturn:
    raise InvalidJson(f"{name} is not a JSON number")


def _signed_integer(digits: str) -> int | Decimal:
    # As an int, -0 would be accepted as 0.
    return int(digits) if digits != "-0" else Decimal(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):  # from 1e999, for example
        raise OverflowError
    return number


def _decoder(fraction: Callable[[str], Any], integer: Callable[[str], Any]) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_object,
        parse_float=fraction,
        parse_int=integer,
        parse_constant=_reject_constant,
    )


DECIMALS = _decoder(Decimal, _signed_integer)
"""Reads fractions as Decimal."""
FLOATS = _decoder(_float, int)
"""Reads fractions as float; equally strict."""


def encode(document: Any) -> bytes:
    """Write JSON: date-times in UTC with a Z, decimals as strings."""
    return orjson.dumps(document, default=str, option=orjson.OPT_UTC_Z)


def time_text(moment: datetime | str) -> str:
    """Write a date-time as ``encode`` does, without the quotes; a string is written already."""
    return encode(moment).decode().strip('"')


def escape_surrogates(text: str) -> str:
    """Write lone surrogates as escapes: clients can send them, and UTF-8 cannot encode them."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def json_pointers(messages: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the JSON pointer (RFC 6901) and the text of each message in nested mappings."""
    if isinstance(messages, Mapping):
        for key, below in messages.items():
            # Cut first: a name can be as long as the body.
            step = str(key)[: POINTER_MAX + 1].replace("~", "~0").replace("/", "~1")
            yield from json_pointers(below, path if key == "_schema" else f"{path}/{step}")
    else:
        yield from ((_printable(path), escape_surrogates(str(message))) for message in messages)


def _printable(pointer: str) -> str:
    cut = pointer if len(pointer) <= POINTER_MAX else f"{pointer[:POINTER_MAX]}…"
    return escape_surrogates(cut)
