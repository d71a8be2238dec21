"""ISBN-10 and ISBN-13: check digits, and the normal form of 13 digits."""

import re
from typing import Any

from marshmallow import ValidationError, fields, validate

from app.text import DASHES, INVISIBLE, SPACES

_SEPARATORS = re.compile(f"[{DASHES}{SPACES}{INVISIBLE}]+")
_LABEL = r"(?:ISBN(?:1[03])?:?)?"
_ISBN_10 = re.compile(f"{_LABEL}([0-9]{{9}}[0-9X])", re.ASCII | re.IGNORECASE)
_ISBN_13 = re.compile(f"{_LABEL}(97[89][0-9]{{10}})", re.ASCII | re.IGNORECASE)
_MUSIC = "9790"
ISBN_TEXT_MAX = 40
"""Characters of an ISBN with its separators, and a label such as ``ISBN-13:``."""


def normalize(text: str) -> str:
    """Return ``text`` as 13 digits; raise ValidationError if it is not an ISBN.

    All of 979 is accepted but 979-0, which numbers music (ISMN): other groups are still assigned.
    """
    digits = _SEPARATORS.sub("", text)
    if (isbn := _ISBN_10.fullmatch(digits)) and _is_valid_isbn_10(isbn[1]):
        return with_check_digit(f"978{isbn[1][:9]}")
    if (isbn := _ISBN_13.fullmatch(digits)) and with_check_digit(isbn[1][:12]) == isbn[1]:
        if isbn[1].startswith(_MUSIC):
            raise ValidationError("Not an ISBN: 979-0 is the prefix of printed music (ISMN).")
        return isbn[1]
    raise ValidationError("Not an ISBN: 10 or 13 digits are required, with a correct check digit.")


def _is_valid_isbn_10(digits: str) -> bool:
    values = [10 if digit in "Xx" else int(digit) for digit in digits]
    return sum((10 - at) * value for at, value in enumerate(values)) % 11 == 0


def with_check_digit(digits: str) -> str:
    """Return the ISBN-13 with these first twelve digits."""
    checksum = sum(int(digit) * (3 if at % 2 else 1) for at, digit in enumerate(digits))
    return f"{digits}{-checksum % 10}"


class Isbn(fields.String):
    """An ISBN, stored and returned as 13 digits."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs["metadata"] = {"format": "isbn", **kwargs.get("metadata", {})}
        super().__init__(validate=validate.Length(max=ISBN_TEXT_MAX), **kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        self._validate(text)  # the length limit applies to the text before normalization
        return normalize(text)
