"""Fields with stricter rules than those of marshmallow: integers, amounts, flags, text, ids."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, validate, validates_schema
from werkzeug.routing import IntegerConverter

from app.text import INVISIBLE, SPACES, compose, find_hidden

ID_MAX = 2**31 - 1
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
_AMOUNT = re.compile(r"[0-9]+(\.[0-9]{1,2}0*)?")
COMPOSED_MAX = 4
"""NFC makes one character of at most so many; so a text that is longer still is not read on."""
_EXCESSIVE = Decimal("1e20")
"""More than any field accepts."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = {
    False: re.compile(r"[\x00-\x1f\x7f-\x9f]"),
    True: re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"),  # not newline and tab
}
_VISIBLE = re.compile(rf"[^\x00-\x1f\x7f-\x9f{SPACES}{INVISIBLE}]")
# The same rules as JSON Schema patterns. Some validators refuse a pattern that names surrogates:
# these exclude the range around them, and allow its two ends again.
_NEVER = r"\u0000-\u001f\u007f-\u009f\ud7ff-\ue000"
_CHARACTER = rf"(?:[^{_NEVER}]|[\ud7ff\ue000])"
_GLYPH = rf"(?:[^{_NEVER}{SPACES}{INVISIBLE}]|[\ud7ff\ue000])"
_BLANK = f"[{SPACES}{INVISIBLE}]"
_LINE = f"^{_BLANK}*{_GLYPH}{_CHARACTER}*$"
_LINES = rf"^(?:{_BLANK}|\r?\n|\t)*{_GLYPH}(?:{_CHARACTER}|\r?\n|\t)*$"
_KEY = f"^[{SPACES}]*{_GLYPH}(?:(?:{_GLYPH}| )*{_GLYPH})?[{SPACES}]*$"


class BoundedInteger(fields.Integer):
    """A whole number in a range: a JSON number of that value, or ASCII digits in a query."""

    def __init__(self, minimum: int, maximum: int, **kwargs: Any) -> None:
        kwargs["error_messages"] = {"invalid": "Not a whole number."}
        super().__init__(strict=True, validate=validate.Range(minimum, maximum), **kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> int:
        if isinstance(self.root, QuerySchema) and isinstance(value, str):
            if not _INTEGER.fullmatch(value):
                raise self.make_error("invalid", input=value)
            value = int(value)
        number = _number(value)
        if number is None or number != int(number):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(int(number), attr, data, **kwargs)


class Price(fields.Field[Decimal]):
    """An amount in whole cents, as a string or a number; never read as a float."""

    def __init__(
        self, maximum: Decimal, metadata: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        digits = maximum.adjusted() + 1  # which are all nines
        pattern = rf"^0*[0-9]{{1,{digits}}}(\.[0-9]{{1,2}}0*)?$"
        shape: dict[str, Any] = {"pattern": pattern, "examples": ["19.99"], **(metadata or {})}
        if "type" not in shape:
            bounds = {"minimum": 0, "maximum": float(maximum), "multipleOf": 0.01}
            text = "An amount in whole cents, never rounded; a number may have an exponent."
            shape = {"type": ["string", "number"], "description": text, **bounds, **shape}
        super().__init__(metadata=shape, **kwargs)
        self.maximum = maximum

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Decimal:
        if isinstance(value, str):
            amount = Decimal(value) if _AMOUNT.fullmatch(value) else None
        else:
            amount = _number(value)
        if amount is None or amount.is_signed():
            raise ValidationError("Not an amount: use digits and at most two decimals.")
        if amount > self.maximum:
            raise ValidationError(f"Must be at most {self.maximum}.")
        if amount != (cents := round(amount, 2)):
            raise ValidationError("Not an amount: use digits and at most two decimals.")
        return cents


def _number(value: Any) -> Decimal | None:
    """Return the value of a JSON number, which is an int or a Decimal; None if it is not one.

    Nor is -0: whoever sends it has computed an amount below zero and rounded it.
    """
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        return None
    number = Decimal(value)
    if not number:
        return None if number.is_signed() else Decimal(0)
    # An int of 1e999999999 would fill the memory.
    return number if number.copy_abs() < _EXCESSIVE else _EXCESSIVE.copy_sign(number)


class StrictBoolean(fields.Boolean):
    """``true`` or ``false``, and no other spelling."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(truthy={"true", True}, falsy={"false", False}, **kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> bool:
        # 1 and 1.0 are equal to True, and text is a flag only in a query and in a file. GraphQL
        # has a boolean in the place of a query.
        may_be_text = isinstance(self.root, QuerySchema) or hasattr(self, "parse_cell")
        if not isinstance(value, (str, bool) if may_be_text else bool):
            raise self.make_error("invalid", input=value)
        return bool(super()._deserialize(value, attr, data, **kwargs))


class OneOf(fields.Field[Any]):
    """A value that is read later, by one of ``schemas``: each may have problems of its own."""

    def __init__(self, schemas: Sequence[type[Schema]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.schemas = schemas

    def deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        """Return ``value`` as it is, null too, which a field would refuse with all others."""
        return value


class CleanText(fields.String):
    """Text of 1 to ``max_length`` characters, in NFC and without surrounding whitespace.

    It has a visible character, no lone surrogate and no control character, except newline and
    tab if it is ``multiline``.
    """

    def __init__(self, max_length: int, *, multiline: bool = False, **kwargs: Any) -> None:
        pattern = {"pattern": _LINES if multiline else _LINE}
        kwargs["metadata"] = {**pattern, **kwargs.get("metadata", {})}
        super().__init__(validate=validate.Length(1, max_length), **kwargs)
        self._multiline = multiline
        self._longest = COMPOSED_MAX * max_length

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if self._multiline:
            text = text.replace("\r\n", "\n")
        if len(text.strip()) > self._longest:
            self._validate(text)  # which raises
        if _SURROGATE.search(text):
            raise ValidationError("Contains a lone surrogate (half a character).")
        # Before strip(), which also removes some control characters.
        if _CONTROL[self._multiline].search(text):
            raise ValidationError("Contains a control character.")
        if not _VISIBLE.search(text):
            raise ValidationError("Must not be blank.")
        return compose(text.strip()).strip()


class KeyText(CleanText):
    """Text that identifies something: without what would make two different keys look the same.

    That is any invisible character, and any space but U+0020.
    """

    def __init__(self, max_length: int, **kwargs: Any) -> None:
        metadata = {"pattern": _KEY, **kwargs.pop("metadata", {})}
        super().__init__(max_length, metadata=metadata, **kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if hidden := find_hidden(text):
            raise ValidationError(f"Contains the invisible character {hidden}.")
        return text


class QuerySchema(Schema):
    """The parameters of a query string; any other name is rejected with 422."""


class ChangeSchema(Schema):
    """New values of some fields; the others stay."""

    json_schema_keywords: ClassVar = {"minProperties": 1}

    @validates_schema
    def check_not_empty(self, data: dict[str, Any], **_: Any) -> None:
        if not data:
            raise ValidationError(f"Provide at least one of {', '.join(self.fields)}.")


def create_loader(schema: type[Schema]) -> Schema:
    """Create a schema that names the known fields where it refuses an unknown one."""
    loader = schema()
    loader.error_messages["unknown"] = f"Unknown field. Known are: {', '.join(loader.fields)}."
    return loader


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
