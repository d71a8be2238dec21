"""What a file is, by its first bytes: its encoding, or a format that is not CSV."""

import codecs
import re
import unicodedata
from contextlib import suppress

from app.loading.files import Input, LoadError

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WIDE = ("utf-16", "utf-32")
_WIDE_ENCODINGS = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
_NO_TEXT = {"Cc", "Cn", "Cs"}  # controls, unassigned, surrogates
_LINE_END = re.compile(r"[\r\n]")
_UNPACK = "unpack it first; an unpacked file can also be piped into FILE `-`"
_SAVE = "save it as CSV (UTF-8) in the spreadsheet program"
_EXPORT = "export the table as CSV"
_OFFICE = rb"PK\x03\x04(?s:.)*"
_FORMATS = (
    (rb"\x1f\x8b", "compressed by gzip", _UNPACK),
    (rb"BZh[1-9](1AY&SY|\x17rE8P\x90)", "compressed by bzip2", _UNPACK),
    (rb"\xfd7zXZ\x00", "compressed by xz", _UNPACK),
    (rb"\x28\xb5\x2f\xfd", "compressed by zstd", _UNPACK),
    (rb"\x1f\x9d", "compressed by compress", _UNPACK),
    (rb"\x04\x22\x4d\x18", "compressed by lz4", _UNPACK),
    (rb"7z\xbc\xaf\x27\x1c|Rar!\x1a\x07", "an archive", _UNPACK),
    (_OFFICE + rb"(xl/|\[Content_Types\]\.xml)", "an Excel workbook", _SAVE),
    (_OFFICE + rb"vnd\.oasis\.opendocument", "an OpenDocument file", _SAVE),
    (rb"PK(\x03\x04|\x05\x06|\x07\x08)", "a zip archive", _UNPACK),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook", _SAVE),
    (rb"SQLite format 3\x00", "an SQLite database", _EXPORT),
    (rb"PAR1\x15", "a Parquet file", _EXPORT),
    (rb"%PDF-", "a PDF document", _EXPORT),
)
_TEXT_FORMATS = (
    (
        rb"(?i)(\s|<!--(?s:.)*?-->)*<(!doctype\s+html|html|head|body|table|meta)\b",
        "a web page (HTML)",
        "it may be the login or error page of the site; download the CSV file again",
    ),
    (rb"\s*<\?xml\b", "XML", _EXPORT),
    (rb'\s*(\{\s*"|\[\s*[\[{])', "JSON", _EXPORT),
)


def check_format(source: Input) -> None:
    """Raise LoadError if ``source`` is in a well-known format that is not CSV."""
    text = source.head.removeprefix(codecs.BOM_UTF8).lstrip(b"\xff\xfe").replace(b"\0", b"")
    for head, formats in ((source.head, _FORMATS), (text, _TEXT_FORMATS)):
        for pattern, name, cure in formats:
            if re.match(pattern, head):
                raise LoadError(f"{source.name} is {name}, not CSV: {cure}.")


def find_encoding(source: Input, requested: str | None) -> str:
    """Return the codec of ``source``: that of its byte order mark, the requested one, or UTF-8."""
    name = _codec_name(requested or "utf-8")
    mark = next((m for m in _BYTE_ORDER_MARKS if source.head.startswith(m[0])), None)
    wide = _wide_encoding(source.head)
    if mark is not None:
        found = mark[1].removesuffix("-sig")
        if requested and not name.startswith(found):
            raise LoadError(
                f"--encoding {requested}: {source.name} begins with the byte order mark of {found};"
                f" use --encoding {found}."
            )
        return mark[1]
    if name in _WIDE:
        return wide if wide and wide.startswith(name) else f"{name}-le"
    if wide and not name.startswith(_WIDE):
        raise LoadError(f"{source.name} is not in {name}; it looks like --encoding {wide}.")
    return requested or "utf-8"


def _codec_name(encoding: str) -> str:
    try:
        "".encode(encoding)
        return codecs.lookup(encoding).name
    except (LookupError, ValueError):
        raise LoadError(f"--encoding {encoding}: no such encoding.") from None


def _wide_encoding(head: bytes) -> str | None:
    """Return the encoding of two or four bytes a character in which ``head`` is a text."""
    if 0 in head:
        for encoding in _WIDE_ENCODINGS:
            with suppress(UnicodeDecodeError):
                text = codecs.getincrementaldecoder(encoding)().decode(head)
                if _is_text(text) and (text.isascii() or _LINE_END.search(text)):
                    return encoding
    return None


def _is_text(text: str) -> bool:
    """Return whether ``text`` has no character that tells of a wrong encoding."""
    return all(c in "\t\r\n" or unicodedata.category(c) not in _NO_TEXT for c in text)
