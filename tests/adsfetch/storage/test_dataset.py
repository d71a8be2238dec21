"""Other sources, other columns and escaped formulas never mix into a dataset."""

from collections import Counter


def test_another_source_does_not_mix_into_a_dataset(shop, fetch, run):
    fetch("fetch", "2024-01-01", "2024-01-03")
    other = ("--source", "adsfetch.example:fetch_data", "--out", "data")
    result = run("fetch", "2024-01-01", "2024-01-05", *other)
    assert result.code == 2
    assert "contains the rows of shop:fetch_data" in result.err
    assert run("fetch", "2024-01-01", "2024-01-05", *other, "--dataset", "sample").code == 0
    assert len(shop.all()) == 3


def test_other_columns_do_not_mix_into_a_dataset(shop, fetch):
    fetch("fetch", "2024-01-01", "2024-01-03")
    shop.configure(more={"device": "MOBILE"})
    result = fetch("fetch", "2024-01-01", "2024-01-04")
    assert result.code == 1
    assert "(device)" in result.json["failed"][0]["reason"]
    assert shop.calls == ["2024-01-04"]
    assert Counter(len(row) for row in shop.all()) == {3: 3}


def test_a_dataset_created_with_escaped_formulas_stays_escaped(shop, fetch, run):
    shop.configure(more={"campaign": '=HYPERLINK("x")'})
    fetch("fetch", "2024-01-01", "2024-01-01", "--escape-formulas")
    fetch("fetch", "2024-01-02", "2024-01-02")
    assert {row["campaign"] for row in shop.all()} == {'\'=HYPERLINK("x")'}


def test_a_dataset_created_without_escaping_rejects_it(shop, fetch):
    fetch("fetch", "2024-01-01", "2024-01-01")
    result = fetch("fetch", "2024-01-02", "2024-01-02", "--escape-formulas")
    assert result.code == 2
    assert "created without --escape-formulas" in result.err
