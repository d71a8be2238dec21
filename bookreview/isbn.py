"""ISBNs: ten or thirteen digits, hyphens or none, proved by their check digit."""

import re
from typing import Any

from marshmallow import ValidationError, fields, validate

_TEN = re.compile(r"[0-9]{9}[0-9Xx]")
_THIRTEEN = re.compile(r"97[89][0-9]{10}")
_OUTER = re.compile(r"[- ]")
WRITTEN_MAX = 40
"""Characters of an ISBN with its hyphens."""


def normalized(text: str) -> str:
    """Return ``text`` as 13 digits; raise ValueError if it is no ISBN."""
    digits = _OUTER.sub("", text)
    if _TEN.fullmatch(digits) and _ten_holds(digits):
        return with_check_digit(f"978{digits[:9]}")
    if _THIRTEEN.fullmatch(digits) and with_check_digit(digits[:12]) == digits:
        return digits
    raise ValueError("Not an ISBN: ten or thirteen digits, the last of which must fit the others.")


def _ten_holds(digits: str) -> bool:
    values = [10 if digit in "Xx" else int(digit) for digit in digits]
    return (
        sum(weight * value for weight, value in zip(range(10, 0, -1), values, strict=True)) % 11
        == 0
    )


def with_check_digit(twelve: str) -> str:
    """Return an ISBN-13 of its first twelve digits."""
    weighed = sum(int(digit) * (3 if at % 2 else 1) for at, digit in enumerate(twelve))
    return f"{twelve}{-weighed % 10}"


class Isbn(fields.String):
    """An ISBN, kept and shown as 13 digits."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs["metadata"] = {"format": "isbn", **kwargs.get("metadata", {})}
        super().__init__(validate=validate.Length(max=WRITTEN_MAX), **kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        try:
            text = super()._deserialize(value, attr, data, **kwargs)
            self._validate(text)  # before it is shortened to its digits
            return normalized(text)
        except ValueError as error:
            if isinstance(error, ValidationError):
                raise
            raise ValidationError(str(error)) from None
