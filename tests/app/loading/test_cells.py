"""Cells as spreadsheets write them: undone where that is safe, else rejected with the reason."""

import pytest

from app.loading.cells import parse_identifier, parse_integer, parse_text, write_text
from tests.app.loading.csv_load import load_command, map_options, reasons

EMMA = "9780141439587"


@pytest.fixture
def app(make_app, sqlite_database):
    """Cells do not depend on the database."""
    return make_app(sqlite_database)


@pytest.fixture
def load_product(app, path):
    """Load one product whose SKU is written like this in the file."""
    load = load_command(app, "products", path)

    def run(sku: str, name: str = "Lamp"):
        cells = ('"' + cell.replace('"', '""') + '"' for cell in (sku, name))
        return load(f"sku,name,price\n{','.join(cells)},1\n")

    return run


@pytest.fixture
def load_isbn(load):
    """Load one book whose ISBN is written like this in the file."""

    def run(isbn: str):
        quoted = isbn.replace('"', '""')
        return load(f'title,author,isbn,source_id\nEmma,Jane Austen,"{quoted}",e1\n', *KEY)

    return run


KEY = ("--key", "source_id")
ISBNS = [
    f'="{EMMA}"',
    f'= "{EMMA}" ',
    f"'{EMMA}",
    f"={EMMA}",
    f"='{EMMA}'",
    f"{EMMA}.0",
    f"{EMMA}.00",
    "9.780141439587E+12",
    "9,780141439587E+12",
    "9.78014143958700E+12",
    "9.780141439587E12",
    f"\ufeff{EMMA}",
    f"\u00a0{EMMA}\u00a0\u202f",
    f"\t{EMMA}\n",
    '="0141439580"',
    "141439580",
    "141439580.0",
    '="141439580"',
    "1.41439580E+08",
]


@pytest.mark.parametrize("written", ISBNS)
def test_an_isbn_of_a_spreadsheet_is_read(client, load_isbn, written):
    result = load_isbn(written)
    assert result.stdout.startswith("loaded 1,"), result.output
    assert client.get("/books/1").json["isbn"] == EMMA


@pytest.mark.parametrize("written", ['=""', " ", "\u00a0", "\ufeff", '= ""', '=" "'])
def test_an_empty_cell_of_a_spreadsheet_is_blank(client, load_isbn, written):
    load_isbn(written)
    assert client.get("/books/1").json["isbn"] is None


@pytest.mark.parametrize("written", ["9.78014E+12", "9,78E+12", "9.78043902348e+12", "1E+08"])
def test_an_isbn_whose_digits_are_lost_is_rejected_with_the_cause(load_isbn, path, written):
    assert load_isbn(written).exit_code == 1
    assert reasons(path)[0].startswith("isbn: Not an ISBN: ")
    assert "a spreadsheet" in reasons(path)[0]
    assert "as text" in reasons(path)[0]


@pytest.mark.parametrize(
    ("written", "sku"),
    [
        ('="00123"', "00123"),
        ('="1.0"', "1.0"),
        ('="4.00638E+12"', "4.00638E+12"),
        ('="A ""B"" C"', 'A "B" C'),
        ("'00123", "00123"),
        ("'-7", "-7"),
        ("12345.0", "12345"),
        ("0.0", "0"),
        ("4.006381333931E+12", "4006381333931"),
        ("\u00a0BM-1\ufeff", "BM-1"),
        ("1E5", "1E5"),
        ("12E3", "12E3"),
        ("00123", "00123"),
        ("00123.0", "00123.0"),
        ("1.50", "1.50"),
        ("v1.0", "v1.0"),
        ("'a'", "'a'"),
        ("=A1", "=A1"),
        ("2-Jan", "2-Jan"),
        ("#1", "#1"),
    ],
)
def test_a_sku_of_a_spreadsheet_is_read(client, load_product, written, sku):
    result = load_product(written)
    assert result.stdout.startswith("loaded 1,"), result.output
    assert client.get("/products/1").json["sku"] == sku


@pytest.mark.parametrize("written", ["4.00638E+12", "4,00638E+12", "1E+05", "1.00E+05", "1.2e+20"])
def test_a_sku_whose_digits_are_lost_is_rejected_with_the_cause(
    client, load_product, path, written
):
    result = load_product(written)
    assert result.exit_code == 1
    assert reasons(path)[0].startswith(f"sku: {written} is what a spreadsheet left")
    assert client.get("/products").json["items"] == []


@pytest.mark.parametrize(
    "written", ["#N/A", "#REF!", "#NAME?", "#VALUE!", "#DIV/0!", "#NUM!", "#NULL!", "########"]
)
def test_an_error_of_a_spreadsheet_is_no_value(load_product, path, written):
    assert load_product("l1", written).exit_code == 1
    assert reasons(path) == [f"name: {written} is an error of the spreadsheet, not a value."]
    assert load_product(written).exit_code == 1
    assert reasons(path)[0].startswith("sku: ")


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('="Emma"', "Emma"),
        ('="He said ""no"""', 'He said "no"'),
        ("'=SUM", "=SUM"),
        ("'+49 lamp", "+49 lamp"),
        ("'-5", "-5"),
        ("'@home", "@home"),
        ("\u00a0Emma\u3000\ufeff", "Emma"),
        ("'Tis Pity", "'Tis Pity"),
        ("'Salem's Lot", "'Salem's Lot"),
        ("'@' and '&'", "'@' and '&'"),
        ("1984", "1984"),
        ("1.0", "1.0"),
        ("9.78E+12", "9.78E+12"),
        ("=", "="),
        ('="a"&"b"', '="a"&"b"'),
        ('"quoted"', '"quoted"'),
    ],
)
def test_a_text_of_a_spreadsheet_is_read(client, load_product, written, text):
    assert load_product("l1", written).exit_code == 0
    assert client.get("/products/1").json["name"] == text


def test_the_other_keys_are_read_by_the_same_rule(app, client, load, path):
    load('title,author,isbn,source_id\nEmma,Jane Austen,,"=""007"""\nPersuasion,J,,23.0\n', *KEY)
    reviews = load_command(app, "reviews", path)
    head = "book_source_id,rating,reviewer,text,source_id\n"
    result = reviews(
        head + '"=""007""","=""5""",Ana,\'=1+1,\'r1\n23,\'4,Ben,x,2.0\n23.0,4.0,Cleo,x,3E+05\n'
    )
    assert result.stdout == "loaded 2, updated 0, unchanged 0, rejected 1\n", result.output
    assert client.get("/books/1/reviews").json["items"][0]["text"] == "=1+1"
    assert client.get("/books/2").json["review_count"] == 1
    again = reviews(head + "007,5,Ana,=1+1,r1\n23,4,Ben,x,2\n")
    assert again.stdout == "loaded 0, updated 0, unchanged 2, rejected 0\n"


def test_the_export_of_a_library_site_is_loaded(client, load, path):
    rows = (
        "Book Id,Title,Author,ISBN,ISBN13,Original Publication Year\n"
        '1,Emma,Jane Austen,"=""0141439580""","=""9780141439587""",1815\n'
        '2,Persuasion,Jane Austen,"=""""","=""""",\n'
    )
    maps = map_options("title=Title", "author=Author", "isbn=ISBN13", "source_id=Book Id")
    result = load(rows, *maps, *KEY)
    assert result.stdout == "loaded 2, updated 0, unchanged 0, rejected 0\n", result.output
    assert [b["isbn"] for b in client.get("/books").json["items"]] == [EMMA, None]


@pytest.mark.parametrize("written", ["1.000", "12,000", "=" + '"1.000"'])
def test_a_whole_number_with_a_separator_of_thousands_is_rejected(app, path, written):
    load = load_command(app, "products", path)
    quoted = written.replace('"', '""')
    assert load(f'sku,name,price,stock_level\nl1,Lamp,1,"{quoted}"\n').exit_code == 1
    assert reasons(path)[0].startswith("stock_level: Not a whole number")


@pytest.mark.parametrize("cell", ['="', '="a', "='", "'", "=", "#", '=""""', "E+", "1E+9999"])
def test_fragments_of_marks_are_text(cell):
    assert parse_text(cell) in {cell, '"'}
    assert parse_identifier(cell) in {cell, '"'}
    assert parse_integer(cell) in {cell, '"'}


def test_an_empty_text_is_read_as_it_was_written():
    """The API stores none, but a row that was written by hand may have one."""
    assert parse_text(write_text("")) == parse_identifier(write_text("")) == ""
