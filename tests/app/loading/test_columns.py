"""Columns and cells of CSV files."""

import pytest

from tests.app.loading.csv_load import DRACULA, HEAD, rejects


@pytest.mark.parametrize(
    "row", ["Emma,Jane Austen\n", "Emma,Jane Austen,9780141439587,more\n", "Emma\n"]
)
def test_a_row_with_too_few_or_too_many_columns_is_rejected(load, path, row):
    result = load(HEAD + row + DRACULA)
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 1\n"
    assert "columns where 3 are expected" in rejects(path)[0]["reason"]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("x" * 501, "title: Length must"),
        ("a\0b", "title: Contains a control"),
        ("\u200b", "title: Must"),
    ],
)
def test_a_cell_beyond_the_bounds_of_the_api_is_rejected(load, path, cell, reason):
    result = load(f"{HEAD}{cell},Jane Austen,9780141439587\n{DRACULA}")
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 1\n"
    assert rejects(path)[0]["reason"].startswith(reason)
