"""Loads of products: the formats of prices."""

from pathlib import Path

import pytest

from tests.app.loading.csv_load import reasons
from tests.inventory.stock import ledger

DATA = Path(__file__).parent.parent / "data"
FRENCH = (
    *("--encoding", "cp1252", "--delimiter", "tab", "--columns"),
    "cis,cip7,name,status,marketing,date,sku,approval,rate,price,price_with_fee,fee,text",
)


def test_a_french_price_list_is_loaded_with_decimal_commas_and_ambiguous_rows_are_rejected(
    client, load, path
):
    content = (DATA / "prices_cp1252.tsv").read_bytes()
    result = load(content, *FRENCH, "--decimal-comma")
    assert result.stdout == "loaded 16, updated 0, unchanged 0, rejected 8\n", result.output
    rejected = reasons(path, "cp1252", "\t")
    unreadable = "price: Not an amount: digits, with at most two decimals after a comma."
    assert {*rejected} == {"price: required for a new product", unreadable}
    assert rejected.count(unreadable) == 3  # 4,417,08 and the like
    items = client.get("/products").json["items"]
    first = next(product for product in items if product["sku"] == "3400936834651")
    assert first["name"] == "plaquette(s) aluminium de 30 comprimé(s)"
    assert (first["price"], first["stock_level"]) == ("3.75", 0)
    assert ledger(client, first["id"]) == []
    again = load(content, *FRENCH, "--decimal-comma")
    assert again.stdout == "loaded 0, updated 0, unchanged 16, rejected 8\n"


def test_a_decimal_comma_is_rejected_without_the_option(client, load, path):
    result = load((DATA / "prices_cp1252.tsv").read_bytes(), *FRENCH)
    assert result.stdout == "loaded 0, updated 0, unchanged 0, rejected 24\n"
    hint = "price: Has a decimal comma; if all prices in the file do, use --decimal-comma."
    assert reasons(path, "cp1252", "\t").count(hint) == 16
    assert client.get("/products").json["items"] == []


@pytest.mark.parametrize(
    ("written", "price"),
    [
        ("31.38", "31.38"),
        ("31", "31.00"),
        ("31.5", "31.50"),
        ("31.0", "31.00"),
        (" 31.38 ", "31.38"),
        ("0", "0.00"),
        ("007", "7.00"),
        ("1234.000", "1234.00"),
        ("19.9900", "19.99"),
        ('="19.90"', "19.90"),
        ("'19.90", "19.90"),
        ("\u00a019.90\u202f", "19.90"),
        ("99999999.99", "99999999.99"),
    ],
)
def test_a_price_can_have_the_format_of_a_spreadsheet(client, load, written, price):
    quoted = written.replace('"', '""')
    result = load(f'sku,name,price\nl1,Lamp,"{quoted}"\n')
    assert result.exit_code == 0, result.output
    assert client.get("/products/1").json["price"] == price


@pytest.mark.parametrize(
    "written",
    [
        *("31,38", "4,418,10", "1,234", "1 234", "1.005", "12.000", "1.", ".5", "-1", "1e2"),
        *("NaN", "Infinity", "Free", "N/A", "٣", "$5", "5 €", "100000000"),
    ],
)
def test_any_other_price_is_rejected(client, load, path, written):
    assert load(f'sku,name,price\nl1,Lamp,"{written}"\n').exit_code == 1
    assert reasons(path)[0].startswith("price: ")
    assert client.get("/products").json["items"] == []


@pytest.mark.parametrize(
    ("written", "price"),
    [("31,38", "31.38"), ("31,5", "31.50"), ("31", "31.00"), ("0,00", "0.00"), ("1,9900", "1.99")],
)
def test_decimal_commas_are_read_with_the_option(client, load, written, price):
    assert load(f'sku,name,price\nl1,Lamp,"{written}"\n', "--decimal-comma").exit_code == 0
    assert client.get("/products/1").json["price"] == price


@pytest.mark.parametrize("written", ["4,418,10", "1,234", "31.38", "1.234", "-1,5", "1 234,5", ","])
def test_with_decimal_commas_ambiguous_prices_are_rejected(load, path, written):
    assert load(f'sku,name,price\nl1,Lamp,"{written}"\n', "--decimal-comma").exit_code == 1
    assert reasons(path)[0].startswith("price: Not an amount")


def test_a_price_can_be_zero(client, load):
    load("sku,name,price,stock_level\nl1,Gift,0,5\n")
    assert client.get("/products/1").json["price"] == "0.00"
