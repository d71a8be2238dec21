"""The lists of invisible characters, and the form in which searches compare text."""

import random
import re
import sys
import time
import unicodedata

import pytest

from app.text import DASHES, IGNORABLE, INVISIBLE, SPACES, compose, find_hidden, fold

EVERY_CHARACTER = [chr(code) for code in range(sys.maxunicode + 1)]
VISIBLE_FORMATS = re.compile(
    "[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\ufff9-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f]"
)
"""Characters of the category Format that Unicode excludes from Default_Ignorable_Code_Point."""
INVISIBLE_NAME = re.compile("VARIATION SELECTOR|FILLER|GRAPHEME JOINER|VOWEL INHERENT|^TAG ")


def matching(characters):
    pattern = re.compile(f"[{characters}]")
    return {character for character in EVERY_CHARACTER if pattern.match(character)}


def test_ignorable_are_the_formats_the_selectors_the_fillers_and_the_reserved_ranges():
    expected = {
        character
        for character in EVERY_CHARACTER
        if (unicodedata.category(character) == "Cf" and not VISIBLE_FORMATS.match(character))
        or (
            INVISIBLE_NAME.search(unicodedata.name(character, ""))
            and unicodedata.category(character) in {"Lo", "Mn", "Cf"}
            and not unicodedata.name(character).startswith("KHITAN")
        )
    }
    reserved = {"\u2065", *map(chr, range(0xFFF0, 0xFFF9)), *map(chr, range(0xE0000, 0xE1000))}
    assert matching(IGNORABLE) == expected | reserved
    assert len(matching(IGNORABLE)) == 4174  # as Unicode counts Default_Ignorable_Code_Point


def test_spaces_are_all_white_space_but_the_controls():
    separators = {c for c in EVERY_CHARACTER if unicodedata.category(c) in {"Zs", "Zl", "Zp"}}
    assert matching(SPACES) == separators
    assert all(character.isspace() for character in separators)


def test_dashes_are_all_dash_punctuation_and_the_minus_signs():
    punctuation = {c for c in EVERY_CHARACTER if unicodedata.category(c) == "Pd"}
    others = {"\u2053", "\u207b", "\u208b", "\u2212"}
    later_than_unicode_14 = {"\U00010d6e"}
    assert matching(DASHES) == punctuation | others | later_than_unicode_14


@pytest.mark.parametrize("size", [2, 999, 1_001, 1_500])
def test_composing_is_nfc_in_any_order_of_marks(size):
    choose = random.Random(14)
    marks = [c for c in EVERY_CHARACTER if unicodedata.combining(c)]
    letters = "aE\u01d5\u1100\u1161\u11a8\u0391\ufb2c\U0001d15e\U0001110b"
    for _ in range(100):
        text = "".join(
            choose.choice(letters) + "".join(choose.choices(marks, k=choose.choice([0, 1, 9])))
            for _ in range(size // 4)
        )
        assert compose(text) == unicodedata.normalize("NFC", text), ascii(text)


def test_composing_a_long_run_of_marks_takes_linear_time():
    run = "a" + "\u0301\u0323" * 200_000  # quadratic time would be minutes
    start = time.process_time()
    assert compose(run) == "\u1ea1" + "\u0323" * 199_999 + "\u0301" * 200_000
    assert time.process_time() - start < 20


@pytest.mark.parametrize(
    ("text", "hidden"),
    [("ZW-1", None), ("ZW 1", None), ("ZW-1\u200b", "U+200B"), ("ZW\u00a01", "U+00A0")],
)
def test_a_hidden_character_is_named(text, hidden):
    assert find_hidden(text) == hidden


@pytest.mark.parametrize(
    ("written", "searched"),
    [
        ("Ταΐζω", "ΤΑΪ́ΖΩ"),
        ("Ταΐζω", unicodedata.normalize("NFC", "Ταΐζω".upper())),
        ("ᾳδης", "ᾼΔΗΣ"),
        ("ǰ", "J̌"),
        ("Straße", "STRASSE"),
        ("İstanbul", "i\u0307stanbul"),
        ("No\u00a0break", "no break"),
        ("thin\u2009and\u202fnarrow\u3000wide", "thin and narrow wide"),
        ("Two  spaces \u00a0 more", "two spaces more"),
        ("hy\u00adphen\u00adation", "hyphenation"),
        ("zero\u200bwidth\u2060joined\ufeff", "zerowidthjoined"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u062e"),
        ("\u202aleft\u202c\u200e to right", "left to right"),
        ("It\u2019s", "it's"),
        ("\u201cquoted\u201d", '"quoted"'),
        ("Catch\u201122", "catch-22"),
        (
            "\u30b8\u30e3\u30f3\u30a0\u30ea\u30e5\u30c3\u30af",
            "\u30b8\u30e3\u30f3-\u30ea\u30e5\u30c3\u30af",
        ),
        ("1914\u20131918", "1914-1918"),
        ("\u2764\ufe0f", "\u2764"),
        ("a\u2800b", "a b"),
        ("e\u034f\u0301", "\u00e9"),
    ],
)
def test_texts_that_differ_only_in_writing_have_one_form(written, searched):
    assert fold(written) == fold(searched)
    assert fold(f"({written})") == fold(f"({searched})")


@pytest.mark.parametrize(
    ("one", "another"), [("apfel", "\u00e4pfel"), ("a b", "ab"), ("a-b", "ab"), ("1/2", "\u00bd")]
)
def test_texts_that_differ_otherwise_have_different_forms(one, another):
    assert fold(one) != fold(another)


def test_every_visible_character_can_be_searched_and_folding_twice_changes_nothing():
    invisible = re.compile(rf"[\x00-\x1f\x7f-\x9f\ud800-\udfff{SPACES}{INVISIBLE}]")
    for character in EVERY_CHARACTER:
        if not invisible.match(character):
            form = fold(character)
            assert form, hex(ord(character))
            assert not invisible.search(form), hex(ord(character))
            assert fold(form) == form, hex(ord(character))
            assert fold(unicodedata.normalize("NFC", character)) == form, hex(ord(character))


def test_folding_twice_changes_nothing_in_any_order_of_marks():
    marks = [c for c in EVERY_CHARACTER if unicodedata.combining(c)] + ["\u034f", "\u200d"]
    letters = [c for c in EVERY_CHARACTER if unicodedata.category(c) in {"Lu", "Ll", "Lt"}]
    choose = random.Random(18)
    for _ in range(20_000):
        text = choose.choice(letters) + "".join(choose.choices(marks, k=3)) + "\u0345"
        form = fold(text)
        assert fold(form) == form, ascii(text)
        assert fold(unicodedata.normalize("NFC", text)) == form, ascii(text)


def test_a_form_fits_the_index_of_postgresql():
    composed = (c for c in EVERY_CHARACTER if unicodedata.is_normalized("NFC", c))
    forms = (fold(c) for c in composed if not "\ud800" <= c <= "\udfff")
    assert max(len(form.encode()) for form in forms) == 5  # times 400 characters of a name
