"""Fields whose rules marshmallow's own do not know: exact whole numbers, clean text, ids."""

import re
import unicodedata
from decimal import Decimal
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate
from werkzeug.routing import IntegerConverter

ID_MAX = 2**31 - 1
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_AMOUNT = re.compile(r"[0-9]{1,20}(\.[0-9]{1,2})?")
_AMOUNT_DIGITS = 20
_UNSEEN = {"Cc", "Cf", "Zl", "Zp", "Zs"}
_SURROGATE = re.compile("[\ud800-\udfff]")
# The rules of Text as patterns of JSON Schema: what may stand in it, and what can be seen.
_CONTROLS = r"\u0000-\u001f\u007f-\u009f"
_ANY = {False: rf"[^{_CONTROLS}]*", True: rf"(?:[^{_CONTROLS}]|\r?\n|\t)*"}
_SEEN = rf"[^\s{_CONTROLS}\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"


class BoundedInteger(fields.Integer):
    """A whole number within bounds: a JSON number without a fraction, ASCII digits in a query."""

    def __init__(self, least: int, most: int, **kwargs: Any) -> None:
        super().__init__(strict=True, validate=validate.Range(least, most), **kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> int:
        if self.context_is_query and isinstance(value, str):
            if not _WHOLE.fullmatch(value):
                raise self.make_error("invalid", input=value)
            value = int(value)
        if not isinstance(value, int):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)

    @property
    def context_is_query(self) -> bool:
        """Tell whether the values come from a query string, where all are text."""
        return isinstance(self.root, QuerySchema)


class Price(fields.Field[Decimal]):
    """An amount with at most two decimals, as a string or a number; never a float on its way."""

    def __init__(
        self, most: Decimal, metadata: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        shape: dict[str, Any] = {
            "pattern": _amounts_up_to(most),
            "examples": ["19.99"],
            **(metadata or {}),
        }
        if "type" not in shape:
            bounds = {"minimum": 0, "maximum": float(most), "multipleOf": 0.01}
            shape = {"type": ["string", "number"], **bounds, **shape}
        super().__init__(metadata=shape, **kwargs)
        self.most = most

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Decimal:
        amount = _amount(value)
        if amount is None or amount.is_signed() or amount != round(amount, 2):
            raise ValidationError("Not an amount: digits, and at most two decimals.")
        if amount > self.most:
            raise ValidationError(f"Must be at most {self.most}.")
        return round(amount, 2)


def _amounts_up_to(most: Decimal) -> str:
    """Write the pattern of the amounts up to ``most``, which is all nines."""
    digits = most.adjusted() + 1
    return rf"^0{{0,{_AMOUNT_DIGITS - digits}}}[0-9]{{1,{digits}}}(\.[0-9]{{1,2}})?$"


def _amount(value: Any) -> Decimal | None:
    """Read a number of JSON, which comes as int or Decimal, or a string of plain digits."""
    if isinstance(value, str):
        return Decimal(value) if _AMOUNT.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        return None
    amount = Decimal(value)
    return amount if amount.adjusted() < _AMOUNT_DIGITS else None


class StrictBoolean(fields.Boolean):
    """``true`` or ``false``, in no other spelling."""

    truthy = {"true", True}  # noqa: RUF012 - as marshmallow declares it
    falsy = {"false", False}  # noqa: RUF012


class CleanText(fields.String):
    """Text of 1 to ``most`` characters, cleaned as the API promises.

    NFC; no outer space; something to see in it; no NUL, no lone surrogate, and no control
    character, but newline and tab where ``lines`` are allowed.
    """

    def __init__(self, most: int, *, lines: bool = False, **kwargs: Any) -> None:
        pattern = f"^{_ANY[lines]}{_SEEN}{_ANY[lines]}$"
        kwargs["metadata"] = {"pattern": pattern, **kwargs.get("metadata", {})}
        super().__init__(validate=validate.Length(1, most), **kwargs)
        self.allowed = {"\n", "\t"} if lines else set[str]()

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if text.isascii() and text.isprintable():
            return self._not_blank(text.strip())
        if _SURROGATE.search(text):
            raise ValidationError("Holds half a character (a lone surrogate).")
        if "\n" in self.allowed:
            text = text.replace("\r\n", "\n")
        clean = unicodedata.normalize("NFC", text).strip()
        # Those around it too: stripping would take some of them for space.
        if any(unicodedata.category(c) == "Cc" and c not in self.allowed for c in text):
            raise ValidationError("Holds a control character.")
        return self._not_blank(clean)

    def _not_blank(self, text: str) -> str:
        if not text or all(unicodedata.category(c) in _UNSEEN for c in text):
            raise ValidationError("Must not be blank.")
        return text


class QuerySchema(Schema):
    """What a query string may hold; any other name is a 422."""


def _digits_up_to(most: str) -> str:
    """Write the pattern of the whole numbers from 1 to ``most``."""
    shorter = f"[1-9][0-9]{{0,{len(most) - 2}}}"
    below = [
        f"{most[:at]}[{int(at == 0)}-{int(digit) - 1}][0-9]{{{len(most) - at - 1}}}"
        for at, digit in enumerate(most)
        if int(digit) > int(at == 0)
    ]
    return "|".join([most, *below, shorter])


class IdConverter(IntegerConverter):
    """An id in a path: canonical ASCII digits that fit the databases' integers, else a 404."""

    # All of the bound: werkzeug takes a value that it has to refuse for a method not allowed.
    regex = _digits_up_to(str(ID_MAX))


def parse_id(text: str) -> int | None:
    """Read an id as ``IdConverter`` takes it; None for what can be nobody's."""
    return int(text) if re.fullmatch(IdConverter.regex, text) else None
