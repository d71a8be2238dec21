"""Fields with stricter rules than those of marshmallow: integers, amounts, flags, text, ids."""

import re
import unicodedata
from decimal import Decimal
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate
from werkzeug.routing import IntegerConverter

ID_MAX = 2**31 - 1
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_AMOUNT = re.compile(r"[0-9]{1,20}(\.[0-9]{1,2})?")
_AMOUNT_DIGITS = 20
_INVISIBLE_CATEGORIES = {"Cc", "Cf", "Zl", "Zp", "Zs"}
_SURROGATE = re.compile("[\ud800-\udfff]")
# The rules of CleanText as JSON Schema patterns: the allowed and the visible characters.
_CONTROL_CHARS = r"\u0000-\u001f\u007f-\u009f"
_ALLOWED = {False: rf"[^{_CONTROL_CHARS}]*", True: rf"(?:[^{_CONTROL_CHARS}]|\r?\n|\t)*"}
_VISIBLE = rf"[^\s{_CONTROL_CHARS}\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"


class BoundedInteger(fields.Integer):
    """An integer in a range: a JSON number without a fraction, or ASCII digits in a query."""

    def __init__(self, minimum: int, maximum: int, **kwargs: Any) -> None:
        super().__init__(strict=True, validate=validate.Range(minimum, maximum), **kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> int:
        if isinstance(self.root, QuerySchema) and isinstance(value, str):
            if not _INTEGER.fullmatch(value):
                raise self.make_error("invalid", input=value)
            value = int(value)
        if not isinstance(value, int):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class Price(fields.Field[Decimal]):
    """An amount with at most two decimals, as a string or a number; never read as a float."""

    def __init__(
        self, maximum: Decimal, metadata: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        digits = maximum.adjusted() + 1  # which are all nines
        zeros = _AMOUNT_DIGITS - digits
        pattern = rf"^0{{0,{zeros}}}[0-9]{{1,{digits}}}(\.[0-9]{{1,2}})?$"
        shape: dict[str, Any] = {"pattern": pattern, "examples": ["19.99"], **(metadata or {})}
        if "type" not in shape:
            bounds = {"minimum": 0, "maximum": float(maximum), "multipleOf": 0.01}
            shape = {"type": ["string", "number"], **bounds, **shape}
        super().__init__(metadata=shape, **kwargs)
        self.maximum = maximum

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Decimal:
        amount = _amount(value)
        if amount is None or amount.is_signed() or amount != round(amount, 2):
            raise ValidationError("Not an amount: use digits and at most two decimals.")
        if amount > self.maximum:
            raise ValidationError(f"Must be at most {self.maximum}.")
        return round(amount, 2)


def _amount(value: Any) -> Decimal | None:
    """Parse a JSON number, which is an int or a Decimal, or a string of plain digits."""
    if isinstance(value, str):
        return Decimal(value) if _AMOUNT.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        return None
    amount = Decimal(value)
    return amount if amount.adjusted() < _AMOUNT_DIGITS else None


class StrictBoolean(fields.Boolean):
    """``true`` or ``false``, and no other spelling."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(truthy={"true", True}, falsy={"false", False}, **kwargs)


class CleanText(fields.String):
    """Text of 1 to ``max_length`` characters, in NFC and without surrounding whitespace.

    It has a visible character, no lone surrogate and no control character, except newline and
    tab if it is ``multiline``.
    """

    def __init__(self, max_length: int, *, multiline: bool = False, **kwargs: Any) -> None:
        pattern = f"^{_ALLOWED[multiline]}{_VISIBLE}{_ALLOWED[multiline]}$"
        kwargs["metadata"] = {"pattern": pattern, **kwargs.get("metadata", {})}
        super().__init__(validate=validate.Length(1, max_length), **kwargs)
        self._allowed_controls = {"\n", "\t"} if multiline else set[str]()

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if text.isascii() and text.isprintable():
            return self._not_blank(text.strip())
        if _SURROGATE.search(text):
            raise ValidationError("Contains a lone surrogate (half a character).")
        if "\n" in self._allowed_controls:
            text = text.replace("\r\n", "\n")
        clean = unicodedata.normalize("NFC", text).strip()
        # Check the original text: strip() also removes some control characters.
        if any(unicodedata.category(c) == "Cc" and c not in self._allowed_controls for c in text):
            raise ValidationError("Contains a control character.")
        return self._not_blank(clean)

    def _not_blank(self, text: str) -> str:
        if not text or all(unicodedata.category(c) in _INVISIBLE_CATEGORIES for c in text):
            raise ValidationError("Must not be blank.")
        return text


class QuerySchema(Schema):
    """The parameters of a query string; any other name is rejected with 422."""


def _integer_pattern(maximum: str) -> str:
    """Return the pattern of the integers from 1 to ``maximum``."""
    fewer_digits = f"[1-9][0-9]{{0,{len(maximum) - 2}}}"
    smaller = [
        f"{maximum[:at]}[{int(at == 0)}-{int(digit) - 1}][0-9]{{{len(maximum) - at - 1}}}"
        for at, digit in enumerate(maximum)
        if int(digit) > int(at == 0)
    ]
    return "|".join([maximum, *smaller, fewer_digits])


class IdConverter(IntegerConverter):
    """An id in a path: ASCII digits without leading zeros, up to ID_MAX; else 404."""

    # The regex contains the maximum, because werkzeug responds 405 instead of 404 if a
    # converter rejects a value after its regex has matched.
    regex = _integer_pattern(str(ID_MAX))


def parse_id(text: str) -> int | None:
    """Parse an id by the rules of ``IdConverter``; return None if it is not valid."""
    return int(text) if re.fullmatch(IdConverter.regex, text) else None
