"""Files of rejected rows: no character is lost on the way through them, and they load again."""

import csv
import io
import os
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.loading.csv_files import CsvReader, Row, open_text
from app.loading.files import Input
from app.loading.rejects import CsvFormat, RejectsFile, count_added_columns, is_rejects_file
from tests.app.loading.csv_load import DRACULA, EMMA, HEAD, rejects_path

SPECIAL = "\r\n\t\v\f\0\x1c\x1d\x1e\x85\u2028\u2029\xa0\ufeff\"' ,;|=\\é한😀"
CELLS = st.text(st.one_of(st.sampled_from(SPECIAL), st.characters(exclude_categories=["Cs"])))
ROWS = st.lists(st.lists(CELLS, min_size=2, max_size=4), min_size=1, max_size=4)
FORMATS = [
    ("utf-8", ","),
    ("utf-8-sig", ";"),
    ("utf-16", "\t"),
    ("utf-32-le", "|"),
    ("utf-8", " "),
    ("utf-8", "\x85"),
]


@pytest.fixture
def app(make_app, sqlite_database):
    """Files do not depend on the database."""
    return make_app(sqlite_database)


@pytest.fixture
def load_file(app, path):
    """Load a file of books by its path."""

    def run(file: Path, *options: str) -> str:
        return app.test_cli_runner().invoke(args=["books", "load", str(file), *options]).stdout

    run.path = path
    return run


def read(path: Path, encoding: str, delimiter: str) -> list[list[str]]:
    with open_text(Input(str(path)), encoding) as file:
        return [row.cells for row in CsvReader(file, delimiter)]


@pytest.mark.parametrize(("encoding", "delimiter"), FORMATS)
def test_every_character_survives_the_way_through_a_rejects_file(
    tmp_path_factory, encoding, delimiter
):
    folder = tmp_path_factory.mktemp("rejects")
    source, target = folder / "source.csv", folder / "target.csv"
    source.touch()
    form = CsvFormat(encoding, delimiter, False, ["a", "b"])

    @given(ROWS)
    @example([["Fine start\rbad end", "x"], ["", ""], ["\ufeff", " "], ["x", '"']])
    def survives(rows):
        written = RejectsFile(str(target), Input(str(source)), form)
        written.write([Row(number, cells, reason="why") for number, cells in enumerate(rows)])
        written.close()
        expected = [[str(number), "why", *cells] for number, cells in enumerate(rows)]
        assert read(target, encoding, delimiter) == [["line", "reason", "a", "b"], *expected]
        with target.open(newline="", encoding=encoding) as file:
            by_csv = list(csv.reader(file, delimiter=delimiter, strict=True))
        assert by_csv[1:] == expected

    survives()


@given(ROWS, st.sampled_from([",", ";", "\t"]), st.sampled_from(["\n", "\r\n", "\r"]))
def test_what_the_module_csv_writes_is_read_unchanged(rows, delimiter, line_end):
    written = io.StringIO(newline="")
    csv.writer(
        written, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator=line_end
    ).writerows(rows)
    file = io.TextIOWrapper(io.BytesIO(written.getvalue().encode()), "utf-8", newline="")
    assert [row.cells for row in CsvReader(file, delimiter)] == rows


def load_again(app, path: Path, *options: str):
    return app.test_cli_runner().invoke(args=["books", "load", str(rejects_path(path)), *options])


@pytest.mark.parametrize(
    "text", ["Fine start\rbad end", "a\u2028b", "a\x85b", "a\r\nb", " a ", 'a "b" c', "a,b", "\ta"]
)
def test_a_rejected_text_is_whole_after_the_second_load(app, load, path, titles, text):
    quoted = text.replace('"', '""')
    first = load(f'title,author,isbn,note\nEmma,,9780141439587,"{quoted}"\n')
    assert "rejected 1" in first.stdout
    assert "rejected 1" in load_again(app, path).stdout
    twice = rejects_path(rejects_path(path))
    assert read(twice, "utf-8", ",")[1][-1] == text
    assert read(twice, "utf-8", ",")[0] == ["line", "reason", "title", "author", "isbn", "note"]


ROW = "{},Jane Austen,9780141439587"
CASES = [
    ("", ROW, "--columns title,author,isbn"),
    ("", ROW, "--columns reason,author,isbn --map title=reason"),
    ("name,by,isbn", ROW, "--map title=name --map author=by"),
    ("reason,author,isbn", ROW, "--map title=reason"),
    ("line,reason,isbn", ROW, "--map title=line --map author=reason"),
    ("reason,line,isbn", ROW, "--map title=reason --map author=line"),
    ("title,author,isbn,reason,line", f"{ROW},none,0", ""),
    ("title;author;isbn", ROW.replace(",", ";"), "--delimiter ;"),
    ("sep=;\ntitle;author;isbn", ROW.replace(",", ";"), ""),
    ("title,author,source_id,isbn", "{},Jane Austen,e1,", "--key source_id"),
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp037"])
@pytest.mark.parametrize(("head", "row", "options"), CASES)
def test_a_rejects_file_is_loaded_with_the_same_options(load_file, head, row, options, encoding):
    content = "".join(f"{line}\n" for line in (head, row.format("")) if line)
    named = () if encoding == "utf-8-sig" else ("--encoding", encoding)
    command = [*options.split(), *named]
    path = load_file.path
    path.write_text(content, encoding)
    assert load_file(path, *command) == "loaded 0, updated 0, unchanged 0, rejected 1\n"
    written = rejects_path(path)
    assert load_file(written, *command) == "loaded 0, updated 0, unchanged 0, rejected 1\n"
    text = written.read_text(encoding)
    header = next(line for line in text.splitlines() if "line" in line)
    names = re.split("[,;]", header)
    assert len(names) == len(set(names))
    assert text.count(row.format("")) == 1
    written.write_text(text.replace(row.format(""), row.format("Emma")), encoding)
    assert load_file(written, *command) == "loaded 1, updated 0, unchanged 0, rejected 0\n"
    assert load_file(path, *command).endswith("rejected 1\n")
    assert not rejects_path(written).exists()


def test_loading_a_rejects_file_leaves_it_as_it_is(app, load, path):
    load(HEAD + ",Nobody,9780141439846\n")
    before = rejects_path(path).read_bytes()
    assert "rejected 1" in load_again(app, path).stdout
    assert rejects_path(path).read_bytes() == before
    refused = load_again(app, path, "--rejects", str(rejects_path(path)))
    assert (refused.exit_code, rejects_path(path).read_bytes()) == (2, before)


def test_columns_of_the_user_named_line_and_reason_are_data(load, path, titles):
    content = "line,reason,isbn\nEmma,Jane Austen,9780141439587\n"
    assert load(content, "--map", "title=line", "--map", "author=reason").exit_code == 0
    assert titles() == ["Emma"]


@pytest.mark.parametrize(
    ("names", "used", "added"),
    [
        (["line", "reason", "sku"], [], 2),
        (["line", "reason", "sku"], ["reason"], 0),
        (["line", "reason", "reason", "sku"], ["reason"], 2),
        (["rejected line", "rejection reason", "line", "sku"], ["line"], 2),
        (["reason", "line", "sku"], [], 0),
        (["line", "sku"], [], 0),
        ([], [], 0),
    ],
)
def test_the_added_columns_are_recognized(names, used, added):
    assert count_added_columns(names, used) == added


@pytest.mark.parametrize(
    ("head", "is_one"),
    [
        ("line,reason,sku\n".encode("utf-16"), True),
        (b"\xef\xbb\xbfline;reason;sku", True),
        (b'"line","reason","sku"\r\n', True),
        (b"sep=;\nline;reason;sku", True),
        (b"rejected line\trejection reason\tline", True),
        ("line→reason→sku".encode(), True),
        (b"Line,Reason,sku", False),
        (b"line,reasonable", False),
        (b"lines,reason", False),
        (b"line", False),
        (b"sku,line,reason", False),
    ],
)
def test_a_rejects_file_is_recognized_by_its_first_bytes(head, is_one):
    assert is_rejects_file(head) is is_one


def test_a_full_disk_stops_the_load_with_a_message(load, monkeypatch):
    full = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr("app.loading.files.Output.open", lambda _: os.fdopen(full, "wb"))
    result = load(HEAD + EMMA + ",Nobody,9780141439846\n" + DRACULA)
    assert result.exit_code == 1
    assert "Stopped after line 0: " in result.stderr
    assert "No space left on device" in result.stderr
