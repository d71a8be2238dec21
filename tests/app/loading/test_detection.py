"""Files that are not what they should be: messages that name the cause and the cure."""

import bz2
import gzip
import io
import json
import lzma
import zipfile

import pytest

from tests.app.loading.csv_load import DRACULA, EMMA, HEAD, reasons, rejects_path


@pytest.fixture
def app(make_app, sqlite_database):
    """Files do not depend on the database."""
    return make_app(sqlite_database)


def archive(*names: str, content: bytes = b"x") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        for name in names:
            opened.writestr(name, content)
    return file.getvalue()


CONTENT = HEAD + EMMA
FORMATS = {
    "gzip": (gzip.compress(CONTENT.encode()), "compressed by gzip", "unpack it"),
    "bzip2": (bz2.compress(CONTENT.encode()), "compressed by bzip2", "unpack it"),
    "xz": (lzma.compress(CONTENT.encode()), "compressed by xz", "unpack it"),
    "zip": (archive("books.csv"), "a zip archive", "unpack it"),
    "empty zip": (archive(), "a zip archive", "unpack it"),
    "xlsx": (archive("[Content_Types].xml", "xl/workbook.xml"), "an Excel workbook", "save it as"),
    "ods": (
        archive("mimetype", content=b"application/vnd.oasis.opendocument.spreadsheet"),
        "an OpenDocument file",
        "save it as",
    ),
    "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), "an old Excel workbook", "save it as"),
    "sqlite": (b"SQLite format 3\0" + bytes(99), "an SQLite database", "export"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document", "export"),
    "html": (b"\xef\xbb\xbf\n<!DOCTYPE html>\n<title>Login</title>", "a web page", "download"),
    "upper html": (b"<HTML><BODY>Not found</BODY></HTML>", "a web page", "download"),
    "html in utf-16": ("<html>\n".encode("utf-16"), "a web page", "download"),
    "html table": (b"<!-- x -->\n<table border=1><tr>", "a web page", "download"),
    "xml": (b"<?xml version='1.0'?><books/>", "XML", "export"),
    "json": (json.dumps([{"title": "Emma"}], indent=1).encode(), "JSON", "export"),
    "json lines": (b'{"title": "Emma"}\n{"title": "Dracula"}\n', "JSON", "export"),
}


@pytest.mark.parametrize("columns", [(), ("--columns", "title,author,isbn")])
@pytest.mark.parametrize("form", FORMATS)
def test_another_format_is_named_with_a_cure(load, path, form, columns):
    content, name, cure = FORMATS[form]
    result = load(content, *columns)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"Error: {path} is {name}")
    assert cure in result.stderr
    assert result.stderr.count("\n") == 1
    assert not rejects_path(path).exists()


@pytest.mark.parametrize(
    "title", ["PKZIP", "<b>", "[1984]", "{x}", "BZh", "SQLite", "PAR1", "%PDF"]
)
def test_text_that_resembles_another_format_is_csv(load, titles, title):
    assert load(f"{title},author,isbn\n{EMMA}", "--map", f"title={title}").exit_code == 0
    assert titles() == ["Emma"]


@pytest.mark.parametrize(
    ("encoding", "options"),
    [
        ("utf-16", ()),
        ("utf-32", ()),
        ("utf-8-sig", ()),
        ("utf-16", ("--encoding", "utf-16")),
        ("utf-16", ("--encoding", "UTF-16LE")),
        ("utf-16-le", ("--encoding", "utf-16")),
        ("utf-16-be", ("--encoding", "utf-16")),
        ("utf-32-be", ("--encoding", "utf-32")),
        ("utf-8-sig", ("--encoding", "utf8")),
    ],
)
def test_an_encoding_is_read_from_the_byte_order_mark_or_the_zero_bytes(
    load, path, titles, encoding, options
):
    result = load((HEAD + EMMA + "Les Misérables,,9780451525260\n").encode(encoding), *options)
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 1\n", result.stderr
    assert titles() == ["Emma"]
    written = rejects_path(path).read_bytes()
    assert "Les Misérables" in written.decode(encoding)
    if encoding in {"utf-16", "utf-8-sig"}:
        assert written[:2] == HEAD.encode(encoding)[:2]


def test_a_big_endian_mark_is_read(load):
    content = ("\ufeff" + HEAD + EMMA).encode("utf-16-be")
    assert load(content).stdout.startswith("loaded 1,")


@pytest.mark.parametrize(
    ("encoding", "options", "message"),
    [
        ("utf-16-le", (), "--encoding utf-16-le"),
        ("utf-16-be", (), "--encoding utf-16-be"),
        ("utf-32-le", (), "--encoding utf-32-le"),
        ("utf-16-le", ("--encoding", "cp1252"), "--encoding utf-16-le"),
        ("utf-16", ("--encoding", "cp1252"), "use --encoding utf-16"),
        ("utf-8-sig", ("--encoding", "cp1252"), "use --encoding utf-8"),
        ("utf-16", ("--encoding", "utf-8"), "use --encoding utf-16"),
    ],
)
def test_a_wrong_encoding_is_reported_with_the_right_one(load, encoding, options, message):
    result = load((HEAD + EMMA).encode(encoding), *options)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert message in result.stderr


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize(
    "text",
    [
        HEAD + "Война и мир,Лев Толстой,\n" * 40,
        HEAD + "戦争と平和,トルストイ,\n" * 400,
        "ключ;имя\r\n" + "Ж;Щ\r\n" * 9,
        HEAD.rstrip(),
    ],
    ids=["Russian rows", "Japanese rows", "Russian header", "header only"],
)
def test_a_wide_encoding_is_found_in_any_script(load, text, encoding):
    result = load(text.encode(encoding))
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert f"looks like --encoding {encoding}." in result.stderr


@pytest.mark.parametrize("row", ["Em\0ma,A,", "\0,A,", "Em\0,A\0,", "a\0b\0c\0"])
def test_a_zero_byte_in_a_row_rejects_that_row_only(load, path, row):
    result = load(HEAD + EMMA + row + "\n")
    assert "loaded 1, updated 0, unchanged 0, rejected 1" in result.stdout


def test_a_header_in_one_pair_of_quotes_is_shown_as_one_column(load):
    result = load('"title,author,isbn"\n"Emma,Jane Austen,"\n')
    assert 'Columns found: "title,author,isbn".' in result.stderr


def test_invalid_bytes_are_reported_with_their_place(load, path):
    content = (HEAD + EMMA + "Les Misérables,Hugo,\n").encode("cp1252")
    result = load(content)
    assert reasons(path, "cp1252") == ["bytes that are invalid in this encoding"]
    assert "line 3, byte 8 (0xE9)" in result.stderr
    assert "--encoding" in result.stderr
    header = load("titlé,author,isbn\n".encode("cp1252"))
    assert header.exit_code == 2
    assert "line 1, byte 5 (0xE9)" in header.stderr
    assert "--encoding cp1252" in header.stderr
    assert header.stderr.count("\n") == 1
    lines = HEAD + '"Les\r\nMisé","é",\n'
    assert "line 3, byte 4 (0xE9)" in load(lines.encode("cp1252")).stderr


@pytest.mark.parametrize("first", ["sep=;\n", "SEP=;\r\n", '"sep=;"\n', "\ufeffsep=;\r"])
def test_the_delimiter_is_read_from_the_first_line(load, path, first):
    rows = (HEAD + EMMA + ",Nobody,\n").replace(",", ";")
    result = load(first + rows)
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 1\n", result.output
    assert reasons_of_separated(path) == ["4"]


def reasons_of_separated(path):
    written = rejects_path(path).read_text("utf-8-sig").splitlines()
    assert written[0] == "sep=;"
    return [line.split(";")[0] for line in written[2:]]


def test_the_first_line_can_state_a_tab_and_the_option_prevails(load):
    rows = (HEAD + EMMA).replace(",", "\t")
    assert load("sep=\t\n" + rows).stdout.startswith("loaded 1,")
    assert load("sep=;\n" + rows, "--delimiter", "tab").stdout.endswith("unchanged 1, rejected 0\n")
    assert "is empty" in load("sep=;\n").stderr


@pytest.mark.parametrize(
    ("delimiter", "cure"), [(";", "';'"), ("\t", "tab"), ("|", "'|'"), (":", "':'")]
)
@pytest.mark.parametrize("head", ["title,author,isbn", '"title","author","isbn"', "Book,By,Number"])
def test_a_wrong_delimiter_is_reported_with_the_right_one(load, delimiter, cure, head):
    result = load((head + "\n" + DRACULA).replace(",", delimiter))
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert f"--delimiter {cure}" in result.stderr


def test_a_wrong_delimiter_is_reported_in_the_rows_of_a_file_without_a_header(load, path):
    load(EMMA.replace(",", ";"), "--columns", "title,author,isbn")
    assert reasons(path) == ["1 columns where 3 are expected; is --delimiter ';' missing?"]


@pytest.mark.parametrize(
    ("head", "options", "message"),
    [
        ("Title,Author,ISBN", (), "Columns found: Title, Author, ISBN. Perhaps: --map title=Title"),
        ("title,author", (), "Columns found: title, author."),
        ("title,author", ("--map", "isbn=ISBN13"), "Columns found: title, author."),
        ("title,author,Isbn", ("--key", "isbn"), "Perhaps: --map isbn=Isbn."),
        ("title,title,author,isbn", (), "Columns found: title, title, author, isbn."),
        ('"ti\ntle",author,isbn', (), r"Columns found: ti\ntle, author, isbn."),
        (f"{'x' * 5_000},author,isbn", (), "xxx..."),
        ("'title','author','isbn'", (), "Columns found: 'title', 'author', 'isbn'."),
    ],
)
def test_a_missing_column_is_reported_with_the_columns_found(load, head, options, message):
    result = load(f"{head}\n{EMMA}", *options)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert message in result.stderr
    assert len(result.stderr) < 1_000


def test_the_books_of_reviews_are_reported_with_the_columns_found(app, path):
    path.write_text("Book,rating,reviewer,text\n")
    result = app.test_cli_runner().invoke(args=["reviews", "load", str(path)])
    assert "found none. Columns found: Book, rating, reviewer, text." in result.stderr
