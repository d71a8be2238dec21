"""Cells as spreadsheets write them, and what was in them before; cells of our own exports."""

import re
import unicodedata

_PADDING = "\t\r\n\ufeff" + "".join(
    c for c in map(chr, range(0x3001)) if unicodedata.category(c) == "Zs"
)
"""Blanks and byte order marks around a cell; other control characters are errors."""
_TEXT_FORMULA = re.compile(r'=\s*"((?:[^"]++|"")*+)"')
_ERROR = re.compile(
    r"#(N/A|NAME\?|(REF|VALUE|DIV/0|NULL|NUM|ERROR|SPILL|CALC|FIELD|BLOCKED)!|#{2,})"
)
_ESCAPED_FORMULA = re.compile(r"'[=+\-@\t\r][^']*")
_TEXT_MARK = re.compile(r"'[^']+")
_FORMULA_STARTS = frozenset("=+-@")
_FLOAT = re.compile(r"([1-9][0-9]*|0)\.0")
_EXPONENT = re.compile(r"([1-9])(?:[.,]([0-9]+))?E(\+?)([0-9]{1,3})", re.IGNORECASE)
_INTEGER = re.compile(r"([+-]?[0-9]{1,18})(?:\.0*)?", re.ASCII)
_THOUSANDS = re.compile(r"[1-9][0-9]{0,2}[.,][0-9]{3}", re.ASCII)
_COMMA_AMOUNT = re.compile(r"([0-9]+)(?:,([0-9]+))?", re.ASCII)


def parse_text(cell: str) -> str:
    """Return the text of a cell, without the marks of a spreadsheet that are not part of it.

    Raise ValueError if the spreadsheet wrote an error instead of the text.
    """
    text = cell.strip(_PADDING)
    if formula := _TEXT_FORMULA.fullmatch(text):
        stated = formula[1].replace('""', '"').strip()
        return stated if stated.strip(_PADDING) else ""
    if _ERROR.fullmatch(text):
        raise ValueError(f"{text[:20]} is an error of the spreadsheet, not a value.")
    return text[1:] if _ESCAPED_FORMULA.fullmatch(text) else text


def parse_identifier(cell: str) -> str:
    """Return an identifier, also if a spreadsheet took it for a number and no digit was lost.

    ``="1.0"`` states a text, which is not changed. Raise ValueError if digits were lost.
    """
    if _TEXT_FORMULA.fullmatch(cell.strip(_PADDING)):
        return parse_text(cell)
    text = parse_text(cell)
    if _TEXT_MARK.fullmatch(text):
        text = text[1:].strip(_PADDING)
    if number := _FLOAT.fullmatch(text):
        return number[1]
    return _without_exponent(text)


def _without_exponent(text: str) -> str:
    """Return ``9.780141439587E+12`` as an integer; raise ValueError if it does not say all digits.

    ``1E5`` is no number as spreadsheets write it, and may be an identifier.
    """
    match = _EXPONENT.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        return text
    digits, length = match[1] + (match[2] or ""), int(match[4]) + 1
    if len(digits) < length or digits[length:].strip("0"):
        raise ValueError(
            f"{text[:40]} is what a spreadsheet left of a longer number; its last digits are lost."
            " Format the column as text where it comes from, and export it again."
        )
    return digits[:length]


def write_text(text: str) -> str:
    """Return the cell from which ``parse_text`` and ``parse_identifier`` read ``text``.

    A text that they, or a spreadsheet, would take for something else is written as ="text".
    """
    if text[:1].isalpha() and text[-1] not in _PADDING:
        return text
    if text[:1] not in _FORMULA_STARTS and _is_plain(text):
        return text
    return '="' + text.replace('"', '""') + '"'


def _is_plain(text: str) -> bool:
    try:
        return parse_text(text) == text == parse_identifier(text)
    except ValueError:
        return False


def parse_integer(cell: str) -> int | str:
    """Return an integer, also from ``2008.0`` as spreadsheets write it, else the text."""
    text = _unmarked(cell)
    if _THOUSANDS.fullmatch(text):
        raise ValueError("Not a whole number: its last three digits may be thousands or decimals.")
    match = _INTEGER.fullmatch(text)
    return int(match[1]) if match else text


def parse_point_amount(cell: str) -> str:
    """Return an amount; reject a comma, which may separate thousands."""
    text = _amount(cell)
    if _COMMA_AMOUNT.fullmatch(text) and "," in text:
        raise ValueError("Has a decimal comma; if all prices in the file do, use --decimal-comma.")
    return text


def parse_comma_amount(cell: str) -> str:
    """Return an amount of a file with decimal commas; reject a point, for the same reason."""
    text = _amount(cell)
    if text and not _COMMA_AMOUNT.fullmatch(text):
        raise ValueError("Not an amount: digits, with at most two decimals after a comma.")
    return text.replace(",", ".")


def _amount(cell: str) -> str:
    """Return the text of an amount; reject ``1.500``, which is 1,500 in half of the world."""
    text = _unmarked(cell)
    if _THOUSANDS.fullmatch(text):
        raise ValueError("Not an amount: its last three digits may be thousands or decimals.")
    return text


def _unmarked(cell: str) -> str:
    """Return the text of a cell with a number, without the apostrophe that made it a text."""
    text = parse_text(cell)
    return text[1:].strip(_PADDING) if _TEXT_MARK.fullmatch(text) else text
