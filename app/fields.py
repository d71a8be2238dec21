"""Fields whose rules marshmallow's own do not know: exact whole numbers, clean text, ids."""

import re
import unicodedata
from decimal import Decimal
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate
from werkzeug.routing import IntegerConverter, Map

ID_MAX = 2**31 - 1
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_AMOUNT = re.compile(r"[0-9]{1,20}(\.[0-9]{1,2})?")
_AMOUNT_DIGITS = 20
_UNSEEN = {"Cc", "Cf", "Zl", "Zp", "Zs"}
_SURROGATE = re.compile("[\ud800-\udfff]")


class Whole(fields.Integer):
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
        shape = {"pattern": r"^[0-9]+(\.[0-9]{1,2})?$", "examples": ["19.99"]}
        super().__init__(
            metadata={"type": ["string", "number"], **shape, **(metadata or {})}, **kwargs
        )
        self.most = most

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Decimal:
        amount = _amount(value)
        if amount is None or amount.is_signed() or amount != round(amount, 2):
            raise ValidationError("Not an amount: digits, and at most two decimals.")
        if amount > self.most:
            raise ValidationError(f"Must be at most {self.most}.")
        return round(amount, 2)


def _amount(value: Any) -> Decimal | None:
    """Read a number of JSON, which comes as int or Decimal, or a string of plain digits."""
    if isinstance(value, str):
        return Decimal(value) if _AMOUNT.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        return None
    amount = Decimal(value)
    return amount if amount.adjusted() < _AMOUNT_DIGITS else None


class Flag(fields.Boolean):
    """``true`` or ``false``, in no other spelling."""

    truthy = {"true", True}  # noqa: RUF012 - as marshmallow declares it
    falsy = {"false", False}  # noqa: RUF012


class Text(fields.String):
    """Text of 1 to ``most`` characters, cleaned as the API promises.

    NFC; no outer space; something to see in it; no NUL, no lone surrogate, and no control
    character, but newline and tab where ``lines`` are allowed.
    """

    def __init__(self, most: int, *, lines: bool = False, **kwargs: Any) -> None:
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
        # Those around it too: only space, tab and line ends are taken for outer space.
        around = {c for c in text if unicodedata.category(c) == "Cc"} - {"\n", "\t", "\r"}
        if around or any(unicodedata.category(c) == "Cc" and c not in self.allowed for c in clean):
            raise ValidationError("Holds a control character.")
        return self._not_blank(clean)

    def _not_blank(self, text: str) -> str:
        if not text or all(unicodedata.category(c) in _UNSEEN for c in text):
            raise ValidationError("Must not be blank.")
        return text


class QuerySchema(Schema):
    """What a query string may hold; any other name is a 422."""


class IdConverter(IntegerConverter):
    """An id in a path: canonical ASCII digits that fit the databases' integers, else a 404."""

    regex = r"[1-9][0-9]{0,9}"

    def __init__(self, map: Map) -> None:  # noqa: A002 - werkzeug's name
        super().__init__(map, max=ID_MAX)
