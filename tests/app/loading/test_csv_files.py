"""CSV files: encodings, malformed records and the file of rejected rows."""

import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.loading.csv_files import MAX_RECORD_CHARACTERS, CsvReader
from tests.app.loading.csv_load import DRACULA, EMMA, HEAD, rejects, rejects_path


def test_rejected_rows_are_written_with_line_and_reason_and_the_others_are_loaded(
    load, path, titles
):
    result = load(HEAD + EMMA + ",Nobody,9780141439846\n" + DRACULA)
    assert result.exit_code == 1
    assert result.stdout == "loaded 2, updated 0, unchanged 0, rejected 1\n"
    assert rejects(path) == [
        {
            "line": "3",
            "reason": "title: Missing data for required field.",
            "title": "",
            "author": "Nobody",
            "isbn": "9780141439846",
        }
    ]
    assert titles() == ["Emma", "Dracula"]


def test_rejected_rows_can_be_corrected_and_loaded_from_their_file(app, load, path):
    load(HEAD + ",Jane Austen,9780141439587\n")
    corrected = rejects_path(path)
    corrected.write_text(corrected.read_text().replace(",Jane Austen", "Emma,Jane Austen"))
    result = app.test_cli_runner().invoke(args=["books", "load", str(corrected)])
    assert result.stdout.startswith("loaded 1,")


def test_without_rejected_rows_the_file_of_an_earlier_load_is_deleted(load, path):
    load(HEAD + "Emma,,9780141439587\n")
    assert rejects(path)
    load(HEAD + EMMA)
    assert not rejects_path(path).exists()
    assert [file.name for file in path.parent.glob(".*")] == []


def test_undecodable_bytes_reject_their_row_and_are_written_unchanged(load, path):
    undecodable = "Les Misérables,Victor Hugo,9780451525260\n".encode("cp1252")
    result = load(HEAD.encode() + EMMA.encode() + undecodable + DRACULA.encode())
    assert result.stdout == "loaded 2, updated 0, unchanged 0, rejected 1\n"
    written = rejects_path(path).read_bytes()
    assert b"3,bytes that are invalid in this encoding,Les Mis\xe9rables,Victor Hugo" in written


def test_encoding_and_delimiter_can_be_chosen(load, path, titles):
    rows = HEAD + "Les Misérables,Victor Hugo,9780451525260\n,Nobody é,\n"
    result = load(
        rows.replace(",", "\t").encode("cp1252"), "--encoding", "cp1252", "--delimiter", "tab"
    )
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 1\n"
    assert titles() == ["Les Misérables"]
    assert rejects(path, "cp1252", "\t")[0]["author"] == "Nobody é"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32-le", "shift_jis"])
def test_byte_order_marks_and_wide_encodings_are_read(load, encoding, titles):
    name = "utf-8" if encoding == "utf-8-sig" else encoding
    result = load((HEAD + "こころ,夏目漱石,9780141439587\n").encode(encoding), "--encoding", name)
    assert result.stdout.startswith("loaded 1,"), result.stderr
    assert titles() == ["こころ"]


def test_half_a_character_of_a_wide_encoding_rejects_only_its_row(load):
    content = (HEAD + EMMA + DRACULA).encode("utf-16-le")
    malformed = content.replace("Emma".encode("utf-16-le"), b"E\x00\x00\xd8m\x00a\x00")
    result = load(malformed, "--encoding", "utf-16-le")
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 1\n"


def test_an_unclosed_quote_rejects_only_its_line(load, path, titles):
    result = load(
        HEAD + '"Emma,Jane Austen,\n' + DRACULA + '"Les ""Misérables""",Hugo,9780451525260\n'
    )
    assert result.stdout == "loaded 2, updated 0, unchanged 0, rejected 1\n"
    assert (rejects(path)[0]["line"], rejects(path)[0]["reason"][:8]) == ("2", "not CSV:")
    assert "Dracula" in titles()


def test_a_quote_that_is_open_at_the_end_of_the_file_rejects_only_its_line(load, path):
    result = load(HEAD + '"Emma,Jane Austen,\n' + DRACULA)
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 1\n"
    assert rejects(path)[0]["line"] == "2"


def test_a_line_beyond_the_maximum_rejects_only_itself(load, path):
    long_line = "x" * (2 * MAX_RECORD_CHARACTERS + 7)
    many_columns = "," * MAX_RECORD_CHARACTERS
    result = load(f'{HEAD}{long_line}\n{many_columns}\n"x"{many_columns[5:]}\n{EMMA}')
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 3\n"
    assert [row["line"] for row in rejects(path)] == ["2", "3", "4"]


def test_line_numbers_are_right_after_multiline_text_and_blank_lines(load, path):
    result = load(HEAD + '\n"Em\tma","Jane\nAusten",9780141439587\r\n\n' + EMMA + ",,\n")
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 2\n"
    assert [row["line"] for row in rejects(path)] == ["3", "7"]


@pytest.mark.parametrize("line_end", ["\r\n", "\r", "\n"])
def test_every_kind_of_line_end_is_read(load, line_end):
    assert load((HEAD + EMMA + DRACULA).replace("\n", line_end)).stdout.startswith("loaded 2,")


@pytest.mark.parametrize(
    "row",
    [
        '"Emma", "Austen, Jane", "9780141439587"',
        '"Emma" ,"Austen, Jane" , 9780141439587',
        '  "Emma","Austen, Jane",9780141439587  ',
        'Emma,\t"Austen, Jane"\t,9780141439587',
        'Emma,\u00a0"Austen, Jane",\u3000"9780141439587"\u2009',
        'Emma, "Austen, Jane" ,"9780141439587"\r',
        '\ufeff"Emma",\u200e"Austen, Jane",\u200b"9780141439587"',
    ],
)
def test_blanks_beside_quotes_are_no_data(client, load, row):
    result = load(f"{HEAD}{row}\n{DRACULA}")
    assert result.stdout == "loaded 2, updated 0, unchanged 0, rejected 0\n", result.output
    shown = client.get("/books/1").json
    assert (shown["title"], shown["author"]) == ("Emma", "Austen, Jane")
    assert shown["isbn"] == "9780141439587"


def test_blanks_beside_the_quotes_of_the_header_are_no_data(load):
    head = '"title", "author" ,\t"isbn"\n'
    assert load(head + EMMA).stdout.startswith("loaded 1,")


def test_a_quoted_text_after_a_blank_can_have_several_lines(load, path):
    result = load(HEAD + 'Emma, "Jane\n""A.""\nAusten" , 9780141439587\n' + DRACULA)
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 1\n"
    assert rejects(path)[0]["author"] == 'Jane\n"A."\nAusten'


@pytest.mark.parametrize("delimiter", ["\t", ";", " ", "|"])
def test_a_blank_that_is_the_delimiter_is_no_padding(load, titles, delimiter):
    rows = 'title,author,isbn\n"The  Book","A B",9780141439587\n,"x",\n'
    result = load(rows.replace(",", delimiter), "--delimiter", delimiter)
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 1\n", result.output
    assert titles() == ["The  Book"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('"Emma" Novel,Jane,9780141439587', "text after the closing quote of column 1"),
        ('Emma,"Jane" "Austen",9780141439587', "text after the closing quote of column 2"),
        ('Emma,Jane,"9780141439587', "the quote of column 3 is never closed"),
        ('Emma,\t"Jane,9780141439587', "the quote of column 2 is never closed"),
        ('"""Emma,Jane,9780141439587', "the quote of column 1 is never closed"),
    ],
)
def test_unbalanced_quotes_reject_their_row_and_name_the_column(load, path, titles, row, reason):
    result = load(f"{HEAD}{row}\n{DRACULA}")
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 1\n"
    assert rejects(path)[0]["reason"] == f"not CSV: {reason}"
    assert titles() == ["Dracula"]


@pytest.mark.parametrize("title", ['27" Monitor', 'The "New" World', "It's \"5 o'clock\""])
def test_a_quote_inside_an_unquoted_cell_is_data(load, titles, title):
    load(f"{HEAD}{title},A,9780141439587\n")
    assert titles() == [title]


@given(st.lists(st.sampled_from(['"', ",", "\n", "\r", " ", "\t", "\xa0", "a", ', "', '" ,'])))
@example(['\xa0"', "Emma", ', "', ",", "\n", '"', "A", '"'])
def test_a_quote_after_a_blank_is_never_data(parts):
    text = "".join(parts)
    file = io.TextIOWrapper(io.BytesIO(text.encode()), "utf-8", newline="")
    rows = [row for row in CsvReader(file) if row.outcome is None and '""' not in text]
    cells = [cell for row in rows for cell in row.cells]
    assert [cell for cell in cells if cell.lstrip().startswith('"') and cell[:1] != '"'] == []
