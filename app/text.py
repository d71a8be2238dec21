"""Unicode text: which characters nobody can see, and the form in which searches compare text.

The lists are insides of character classes that Python and ECMAScript (with its flag ``u``) read
alike, so that app/api/fields.py can publish the rules that it applies.
"""

import re
import unicodedata
from itertools import groupby

SPACES = r" \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""White_Space, without the control characters that belong to it."""
IGNORABLE = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    # There is no escape of these that both languages have.
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Default_Ignorable_Code_Point: joiners, fillers, marks of direction, variation selectors, tags."""
INVISIBLE = rf"{IGNORABLE}\u2800"
"""All characters without a glyph that are no spaces; U+2800 is the Braille pattern without dots."""
DASHES = (
    r"\-\u058a\u05be\u1400\u1806\u2010-\u2015\u2053\u207b\u208b\u2212\u2e17\u2e1a\u2e3a\u2e3b"
    r"\u2e40\u2e5d\u301c\u3030\u30a0\ufe31\ufe32\ufe58\ufe63\uff0d"
    "\U00010d6e\U00010ead"
)
"""The property Dash: hyphens, dashes, minus signs."""

_HIDDEN = re.compile(f"(?! )[{SPACES}{INVISIBLE}]")
_SPACES = re.compile(rf"[{SPACES}\u2800]+")
_IGNORABLE = re.compile(f"[{IGNORABLE}]+")
_DASH = re.compile(f"[{DASHES}]")
_QUOTES = {
    **dict.fromkeys(map(ord, "\u2018\u2019\u201a\u201b\u02bc\u2032"), "'"),
    **dict.fromkeys(map(ord, "\u201c\u201d\u201e\u201f\u2033"), '"'),
}

_SHORT = 1_000
"""A text of so many characters is normalized within two milliseconds, whatever they are."""


def compose(text: str) -> str:
    """Return ``text`` in NFC, in linear time.

    unicodedata sorts the combining marks after a letter in quadratic time: it needs a minute for
    200,000 of them, in which the process serves nobody.
    """
    if len(text) > _SHORT and not text.isascii():
        decomposed = "".join(unicodedata.normalize("NFD", character) for character in text)
        runs = groupby(decomposed, lambda character: unicodedata.combining(character) > 0)
        text = "".join(
            "".join(sorted(run, key=unicodedata.combining) if are_marks else run)
            for are_marks, run in runs
        )
    return unicodedata.normalize("NFC", text)


def find_hidden(text: str) -> str | None:
    """Return the first invisible character, or space but U+0020, as it is written in U+200B."""
    found = _HIDDEN.search(text)
    return f"U+{ord(found[0]):04X}" if found else None


def fold(text: str) -> str:
    """Return ``text`` in the form in which searches compare it.

    Texts that differ only in case, in composed characters, in kinds of spaces, dashes and
    quotation marks, or in characters that nobody can see, have the same form.
    """
    # Unicode folds decomposed text: the upper case of some letters has no composed form.
    folded = unicodedata.normalize("NFD", text).casefold()
    plain = _DASH.sub("-", _IGNORABLE.sub("", folded)).translate(_QUOTES)
    return unicodedata.normalize("NFC", _SPACES.sub(" ", plain)).strip(" ")
