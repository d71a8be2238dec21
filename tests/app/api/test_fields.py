"""The fields: the pattern that is published and the code that decides agree."""

import re
import sys
import time
import unicodedata
from decimal import Decimal

import pytest
from marshmallow import Schema, ValidationError

from app.api.fields import COMPOSED_MAX, BoundedInteger, CleanText, KeyText, Price

LINE, LINES, KEY = CleanText(40), CleanText(40, multiline=True), KeyText(40)
EVERY_CHARACTER = [chr(code) for code in range(sys.maxunicode + 1)]
SPECIAL = {"Cc", "Cf", "Cs", "Mn", "Zs", "Zl", "Zp"}
FILLERS = "\u115f\u1160\u3164\uffa0\u2065\ufff0\ufff8\u2800"
INVISIBLE = [
    *("\u3164", "\u2800", "\uffa0", "\u115f", "\u1160", "\u180e", "\u200b", "\u2065", "\u061c"),
    *("\u00ad", "\u034f", "\ufeff", "\u17b4", "\U000e0041\U000e0042", "\ufe0f", "\U000e0100"),
    *("\u00a0", "\u3000", "\u2028", "\u200d\u200c", "\u202e\u2066", "\ufff0", " \u200b\u2800 "),
]


def accepts(field, value):
    try:
        field.deserialize(value)
    except ValidationError:
        return False
    return True


def disagreements(field, texts):
    """Return the texts that the published pattern accepts and the code rejects, or the reverse."""
    # ECMAScript's $ is the end of the text only, Python's also a place before a newline.
    published = re.compile(field.metadata["pattern"].replace("$", r"\Z"))
    return [
        ascii(text) for text in texts if accepts(field, text) is not bool(published.match(text))
    ]


def message(field, value):
    with pytest.raises(ValidationError) as raised:
        field.deserialize(value)
    return raised.value.messages[0]


@pytest.mark.parametrize("field", [LINE, LINES, KEY], ids=["line", "lines", "key"])
def test_pattern_and_code_agree_on_every_character(field):
    assert disagreements(field, EVERY_CHARACTER) == []


@pytest.mark.parametrize("around", ["a{}", "{}a", "a{}a", "\u200b{}", " {} ", "{}\n"], ids=ascii)
@pytest.mark.parametrize("field", [LINE, LINES, KEY], ids=["line", "lines", "key"])
def test_pattern_and_code_agree_on_every_special_character_between_others(field, around):
    special = (c for c in EVERY_CHARACTER if unicodedata.category(c) in SPECIAL or c in FILLERS)
    assert disagreements(field, map(around.format, special)) == []


@pytest.mark.parametrize("text", INVISIBLE, ids=ascii)
@pytest.mark.parametrize("field", [LINE, LINES, KEY], ids=["line", "lines", "key"])
def test_text_that_nobody_can_see_is_blank(field, text):
    assert message(field, text) == "Must not be blank."


@pytest.mark.parametrize(
    "text",
    [
        "\u2764\ufe0f",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u0915\u094d\u200d\u0937",
        "\u05d0\u200e1",
        "\u2801\u2800\u2803",
    ],
    ids=ascii,
)
def test_joiners_and_selectors_inside_of_text_are_kept(text):
    assert LINE.deserialize(text) == LINES.deserialize(text) == text


@pytest.mark.parametrize("hidden", [*"\u200b\u00ad\ufeff\u2800\u3164\ufe0f\u00a0\u2009\u202e"])
@pytest.mark.parametrize("around", ["ZW{}-1", "{0}ZW-1", "ZW-1{}"])
def test_a_key_with_what_nobody_can_see_is_rejected_or_loses_it(hidden, around):
    text = around.format(hidden)
    if text.strip() == "ZW-1":
        assert KEY.deserialize(text) == "ZW-1"
    else:
        assert message(KEY, text) == f"Contains the invisible character U+{ord(hidden):04X}."


@pytest.mark.parametrize("field", [LINE, LINES, KEY], ids=["line", "lines", "key"])
def test_a_text_is_not_normalized_if_it_is_too_long_in_any_form(field):
    start = time.process_time()
    assert "Length must be between 1 and " in message(field, "a" + "\u0301\u0323" * 500_000)
    assert time.process_time() - start < 20


def test_nfc_makes_one_character_of_at_most_four():
    everything = (unicodedata.normalize("NFD", chr(code)) for code in range(sys.maxunicode + 1))
    assert max(map(len, everything)) == COMPOSED_MAX


@pytest.mark.parametrize("letter", ["\u1f82", "\u01d7", "\uac01", "e\u0301"])
def test_the_limit_counts_the_characters_of_nfc(letter):
    decomposed = unicodedata.normalize("NFD", letter)
    line = CleanText(7)
    assert line.deserialize(f"  {decomposed * 7} ") == unicodedata.normalize("NFC", letter) * 7
    assert message(line, decomposed * 8) == "Length must be between 1 and 7."


AMOUNT = Price(Decimal("99999999.99"))
WHOLE = BoundedInteger(-5000, 2**31 - 1)


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("19.9900", "19.99"),
        (Decimal("19.9900"), "19.99"),
        ("5.0", "5.00"),
        (Decimal("5e0"), "5.00"),
        (Decimal("1e2"), "100.00"),
        (Decimal("1999e-2"), "19.99"),
        (Decimal("0e999999999"), "0.00"),
        (Decimal("0e-999999999"), "0.00"),
        ("0.000", "0.00"),
        ("1.5" + "0" * 5_000, "1.50"),
        ("0" * 5_000 + "1.5", "1.50"),
        ("99999999.990", "99999999.99"),
    ],
)
def test_an_amount_has_its_exact_value_in_any_notation(sent, stored):
    assert str(AMOUNT.deserialize(sent)) == stored


@pytest.mark.parametrize(
    "sent",
    [
        *("1e2", "1E2", "1,50", "1.234,50", "1,234.50", "1 000", "1_000", "+1", "-1", "-0", "0x10"),
        *("", " ", " 1", "1 ", "1\n", ".5", "5.", "\uff11", "\u0661", "NaN", "Infinity", "1.005"),
        *("1.0050", "0.001", "1/2", "$5", "5 EUR", "100000000", "99999999.991"),
        *map(Decimal, ("1.005", "-1", "-0", "-0.00", "1e400", "1e-400", "1e8", "99999999.991")),
        *(10**8, -1, True, False, None, [], {}, 1.5, float("nan")),
    ],
    ids=repr,
)
def test_what_is_not_an_amount_in_whole_cents_is_rejected(sent):
    assert not accepts(Price(Decimal("99999999.99"), required=True), sent)


@pytest.mark.parametrize("text", ["19.9900", "007", "0.000", "99999999.990", "1e2", "1.005", ".5"])
def test_the_pattern_of_an_amount_agrees_with_the_code(text):
    pattern = AMOUNT.metadata["pattern"]
    assert bool(re.search(pattern, text)) is accepts(AMOUNT, text)


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (5, 5),
        *((Decimal(text), 5) for text in ("5.0", "5e0", "5.000", "50e-1", "0.5e1", "5000000e-6")),
        (Decimal("-3.0"), -3),
        (Decimal("2e3"), 2_000),
        (Decimal("0.0"), 0),
        (Decimal("0e999999999"), 0),
    ],
    ids=str,
)
def test_a_whole_number_has_its_exact_value_in_any_notation(sent, stored):
    loaded = WHOLE.deserialize(sent)
    assert (loaded, type(loaded)) == (stored, int)


@pytest.mark.parametrize(
    "sent",
    [*map(Decimal, ("5.5", "1e-400", "-0", "-0.0")), "5", "5.0", True, False, [5], 5.0],
    ids=repr,
)
def test_what_is_not_a_whole_number_is_rejected(sent):
    assert message(WHOLE, sent) == "Not a whole number."


@pytest.mark.parametrize("text", ["1e999999999", "-1e999999999", "1e20", "5e-999999999"])
def test_a_huge_exponent_costs_no_memory_and_no_time(text):
    began = time.process_time()
    assert not accepts(WHOLE, Decimal(text))
    assert not accepts(AMOUNT, Decimal(text))
    assert time.process_time() - began < 1


@pytest.mark.parametrize("text", ["1e20", "1e999999999", "5000000000"])
def test_a_number_that_is_too_large_is_said_to_be_that(text):
    assert "less than or equal to" in message(WHOLE, Decimal(text))
    assert message(AMOUNT, Decimal(text)) == "Must be at most 99999999.99."


def test_a_schema_names_the_field():
    class Counted(Schema):
        count = WHOLE

    with pytest.raises(ValidationError, match="Not a whole number"):
        Counted().load({"count": Decimal("5.5")})
