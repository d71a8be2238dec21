"""Rows as CSV: any text is preserved, and spreadsheets evaluate nothing."""

import csv
import io
import json
import math
from collections import ChainMap
from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adsfetch import DayError
from adsfetch.storage.csv import RowEncoder, columns_of, encode

DAY = date(2024, 2, 29)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def written(rows, **options):
    encoder = RowEncoder(columns_of(rows[0]), **options)
    return encoder.header + b"".join(lines for _, lines in encoder.encode_rows(DAY, rows))


def read(content):
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


@given(st.lists(st.fixed_dictionaries({"date": TEXT, "a": TEXT, "b": TEXT}), min_size=1))
def test_any_text_is_preserved(rows):
    assert read(written(rows)) == rows


@given(st.lists(st.lists(TEXT, min_size=2, max_size=2), min_size=1))
def test_the_bytes_are_those_of_the_csv_module(rows):
    rows = [[cell.replace("\r", "") for cell in row] for row in rows]  # it leaves some of them bare
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows(rows)
    assert encode(list(zip(*rows, strict=True))) == lines.getvalue().encode()


def test_a_single_empty_cell_is_a_row():
    assert written([{"date": ""}, {"date": "x"}]) == b'date\n""\nx\n'


def test_no_rows_are_no_lines():
    assert encode([[], []]) == b""


@pytest.mark.parametrize(
    "text", ["a\nb", "a\rb", "\r\n", '"', ",", "\0", "🎈👩‍👩‍👧", "", " ", "\u2028"]
)
def test_special_characters_are_preserved(text):
    assert read(written([{"date": "x", "name": text}])) == [{"date": "x", "name": text}]


def test_a_lone_surrogate_does_not_fail_the_day():
    assert read(written([{"date": "x", "name": "a\ud800"}]))[0]["name"] == "a\\ud800"


def test_values_are_written_as_readable_text():
    row = {"date": DAY, "on": True, "none": None, "price": Decimal("1.50"), "tags": ["a", "é"]}
    assert read(written([row])) == [
        {"date": "2024-02-29", "on": "true", "none": "", "price": "1.50", "tags": '["a", "é"]'}
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (math.nan, ""),
        (Decimal("NaN"), ""),
        (math.inf, "inf"),
        (False, "false"),
        (0.1 + 0.2, "0.30000000000000004"),
        (10**30, "1" + 30 * "0"),
        (Decimal("1.10"), "1.10"),
        (datetime(2024, 2, 29, 12, tzinfo=UTC), "2024-02-29 12:00:00+00:00"),
        (b"\x00\xff", "AP8="),
    ],
)
def test_a_value_is_the_text_that_other_programs_read(value, text):
    assert read(written([{"date": "x", "value": value}]))[0]["value"] == text


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        ([], []),
        (["a;b", 'c"d', "é", ""], ["a;b", 'c"d', "é", ""]),
        ((1, 2.5, None, True), [1, 2.5, None, True]),
        ({"b", "a"}, ["a", "b"]),
        ({"a": [{"b": (1,)}], 2: None}, {"a": [{"b": [1]}], "2": None}),
        (
            [math.nan, math.inf, Decimal("1.10"), DAY, b"\xff"],
            [None, "inf", "1.10", str(DAY), "/w=="],
        ),
        ([[], {}], [[], {}]),
        (MappingProxyType({"a": ChainMap({"b": 1})}), {"a": {"b": 1}}),
    ],
)
def test_a_value_of_several_parts_is_valid_json(value, parsed):
    def refuse(constant):
        raise ValueError(constant)

    cell = read(written([{"date": "x", "value": value}]))[0]["value"]
    assert json.loads(cell, parse_constant=refuse) == parsed


def test_names_that_are_no_texts_are_named_as_such():
    with pytest.raises(DayError, match=r"in their fields \(names that are no texts\)"):
        written([{"date": "x", 1: 2}])


def test_rows_without_a_date_get_the_date_of_their_day():
    assert written([{"clicks": 1}]) == b"date,clicks\n2024-02-29,1\n"


def test_the_first_row_sets_the_order_of_fields():
    assert written([{"date": 1, "a": 2}, {"a": 4, "date": 3}]) == b"date,a\n1,2\n3,4\n"


@pytest.mark.parametrize("row", [{"date": 1}, {"date": 1, "a": 2, "c": 3}, {"date": 1, "c": 3}])
def test_a_row_with_other_fields_is_rejected(row):
    with pytest.raises(DayError, match="differ in their fields"):
        written([{"date": 1, "a": 2}, row])


def test_a_row_that_is_not_a_mapping_is_rejected():
    with pytest.raises(DayError, match="tuple"):
        written([{"date": 1}, (1,)])


@pytest.mark.parametrize("text", ["=1+1", "+SUM(A1)", "-cmd|x", "@now", "\t=1", "\r=1", " =1"])
def test_a_formula_becomes_text_on_request(text):
    assert read(written([{"date": "", "a": text}], escape_formulas=True))[0]["a"] == f"'{text}"
    assert read(written([{"date": "", "a": text}]))[0]["a"] == text


@pytest.mark.parametrize("value", [-5, -1.5, "-5", "+49", "-1,234.50", "-3%", "1-2", "a=b"])
def test_numbers_and_other_text_are_not_escaped(value):
    assert read(written([{"date": "", "a": value}], escape_formulas=True))[0]["a"] == str(value)
