"""Loading: how files are read, what is rejected, and what a load leaves behind."""

import csv
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app.extensions import db
from app.loading import loader as loading
from app.loading.csv_files import MAX_RECORD_CHARACTERS

HEAD = "title,author,isbn\n"
EMMA = "Emma,Jane Austen,9780141439587\n"
DRACULA = "Dracula,Bram Stoker,9780141439846\n"
SECRET = "a secret of the tests"
Load = Callable[..., Result]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "books.csv"


@pytest.fixture
def load(app: Flask, path: Path) -> Load:
    """A factory of loads of a file that holds ``content``."""

    def run(content: str | bytes | None, *words: str) -> Result:
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return app.test_cli_runner().invoke(args=["books", "load", str(path), *words])

    return run


def rejects(path: Path, encoding: str = "utf-8", delimiter: str = ",") -> list[dict[str, Any]]:
    with path.with_name("books.csv.rejects.csv").open(encoding=encoding, newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def titles(app: Flask) -> list[str]:
    with app.app_context():
        return list(db.session.scalars(text("SELECT title FROM book ORDER BY id")))


def test_a_second_run_changes_nothing(app, load, path):
    first, second = load(HEAD + EMMA + DRACULA), load(None)
    assert first.stdout == "loaded 2, updated 0, unchanged 0, rejected 0\n"
    assert second.stdout == "loaded 0, updated 0, unchanged 2, rejected 0\n"
    assert (first.exit_code, second.exit_code, first.stderr) == (0, 0, "")
    assert not path.with_name("books.csv.rejects.csv").exists()


def test_what_is_rejected_is_told_with_line_reason_and_columns_and_the_rest_goes_in(
    app, load, path
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
    assert titles(app) == ["Emma", "Dracula"]


def test_rejected_rows_can_be_mended_and_loaded_from_their_own_file(app, load, path):
    load(HEAD + ",Jane Austen,9780141439587\n")
    mended = path.with_name("books.csv.rejects.csv")
    mended.write_text(mended.read_text().replace(",Jane Austen", "Emma,Jane Austen"))
    result = app.test_cli_runner().invoke(args=["books", "load", str(mended)])
    assert result.stdout.startswith("loaded 1,")


def test_rejects_of_an_earlier_run_are_removed_when_there_are_none(load, path):
    load(HEAD + "Emma,,9780141439587\n")
    assert rejects(path)
    load(HEAD + EMMA)
    assert not path.with_name("books.csv.rejects.csv").exists()
    assert [file.name for file in path.parent.glob(".*")] == []


def test_bytes_of_another_encoding_cost_their_row_only_and_are_kept_as_they_are(app, load, path):
    bad = "Les Misérables,Victor Hugo,9780451525260\n".encode("cp1252")
    result = load(HEAD.encode() + EMMA.encode() + bad + DRACULA.encode())
    assert result.stdout == "loaded 2, updated 0, unchanged 0, rejected 1\n"
    kept = path.with_name("books.csv.rejects.csv").read_bytes()
    assert b"3,bytes that are invalid in this encoding,Les Mis\xe9rables,Victor Hugo" in kept


def test_another_encoding_and_delimiter_can_be_named(app, load, path):
    rows = HEAD + "Les Misérables,Victor Hugo,9780451525260\n,Nobody é,\n"
    result = load(
        rows.replace(",", "\t").encode("cp1252"), "--encoding", "cp1252", "--delimiter", "tab"
    )
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 1\n"
    assert titles(app) == ["Les Misérables"]
    assert rejects(path, "cp1252", "\t")[0]["author"] == "Nobody é"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32-le", "shift_jis"])
def test_a_byte_order_mark_and_wide_encodings_are_read(app, load, encoding):
    told = "utf-8" if encoding == "utf-8-sig" else encoding
    result = load((HEAD + "こころ,夏目漱石,9780141439587\n").encode(encoding), "--encoding", told)
    assert result.stdout.startswith("loaded 1,"), result.stderr
    assert titles(app) == ["こころ"]


def test_half_a_character_of_a_wide_encoding_costs_its_row_only(app, load):
    content = (HEAD + EMMA + DRACULA).encode("utf-16-le")
    broken = content.replace("Emma".encode("utf-16-le"), b"E\x00\x00\xd8m\x00a\x00")
    result = load(broken, "--encoding", "utf-16-le")
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 1\n"


@pytest.mark.parametrize(
    "row", ["Emma,Jane Austen\n", "Emma,Jane Austen,9780141439587,more\n", "Emma\n"]
)
def test_a_row_with_too_few_or_too_many_columns_is_rejected(load, path, row):
    result = load(HEAD + row + DRACULA)
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 1\n"
    assert "columns where 3 are expected" in rejects(path)[0]["reason"]


def test_a_quote_that_is_never_closed_costs_its_own_line_only(app, load, path):
    result = load(
        HEAD + '"Emma,Jane Austen,\n' + DRACULA + '"Les ""Misérables""",Hugo,9780451525260\n'
    )
    assert result.stdout == "loaded 2, updated 0, unchanged 0, rejected 1\n"
    assert (rejects(path)[0]["line"], rejects(path)[0]["reason"][:8]) == ("2", "not CSV:")
    assert "Dracula" in titles(app)


def test_a_quote_that_is_open_at_the_end_of_the_file_costs_its_own_line_only(app, load, path):
    result = load(HEAD + '"Emma,Jane Austen,\n' + DRACULA)
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 1\n"
    assert rejects(path)[0]["line"] == "2"


def test_a_line_that_does_not_fit_in_memory_costs_itself_only(app, load, path):
    result = load(HEAD + "x" * (2 * MAX_RECORD_CHARACTERS + 7) + "\n" + "," * MAX_RECORD_CHARACTERS + "\n" + EMMA)
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 2\n"
    assert [row["line"] for row in rejects(path)] == ["2", "3"]


def test_text_of_several_lines_and_blank_lines_keep_the_numbers_of_lines_right(load, path):
    result = load(HEAD + '\n"Em\tma","Jane\nAusten",9780141439587\r\n\n' + EMMA + ",,\n")
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 2\n"
    assert [row["line"] for row in rejects(path)] == ["3", "7"]


@pytest.mark.parametrize("ends", ["\r\n", "\r", "\n"])
def test_every_kind_of_line_end_is_read(load, ends):
    assert load((HEAD + EMMA + DRACULA).replace("\n", ends)).stdout.startswith("loaded 2,")


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


def test_columns_are_named_by_words_where_the_file_has_no_header(app, load):
    assert load(EMMA, "--columns", "title, author, isbn").stdout.startswith("loaded 1,")
    assert titles(app) == ["Emma"]


def test_a_field_can_be_taken_from_another_column_or_left_out(app, load):
    rows = "name,title,author,isbn\nEmma,Novel,Jane Austen,not an isbn\n"
    result = load(
        rows.replace("isbn\n", "isbn,source_id\n").replace("an isbn\n", "an isbn,e1\n"),
        *("--map", "title=name", "--map", "isbn="),
    )
    assert result.stdout.startswith("loaded 1,"), result.output
    assert titles(app) == ["Emma"]


@pytest.mark.parametrize(
    ("content", "words", "complaint"),
    [
        (HEAD + EMMA, ("--map", "title=name"), "--map title=name: no such column"),
        (HEAD + EMMA, ("--map", "name=title"), "--map name=title: no such field"),
        (HEAD + EMMA, ("--map", "title"), "--map title: must be FIELD=COLUMN"),
        (HEAD + EMMA, ("--map", "title=author", "--map", "title=isbn"), "has a column already"),
        (HEAD + EMMA, ("--encoding", "utf-9"), "--encoding utf-9: no such encoding"),
        (HEAD + EMMA, ("--encoding", "base64"), "--encoding base64: no such encoding"),
        (HEAD + EMMA, ("--delimiter", ";;"), "--delimiter ;;: must be one character"),
        (HEAD + EMMA, ("--key", "title"), "--key title: not a key"),
        (HEAD + EMMA, ("--key", "source_id"), "--key source_id: no column for it"),
        ("title,isbn\nEmma,\n", (), "No column for author; name it: --map author=COLUMN"),
        ("title,author\nEmma,A\n", (), "No column for a key"),
        ("title,title,author,isbn\n", (), "Two columns are named title"),
        (b"title,auth\xffor\n", (), "does not name columns"),
        ("", (), "is empty"),
        (None, (), "No such file"),
        (HEAD + EMMA, ("--rejects", "/nowhere/at/all.csv"), "Cannot write /nowhere/at/all.csv"),
    ],
)
def test_what_cannot_be_loaded_is_told_in_one_line_before_anything_is_written(
    load, path, content, words, complaint
):
    result = load(content, *words)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert [file.name for file in path.parent.glob("*rejects*")] == []


def test_a_folder_is_no_file(app, tmp_path):
    result = app.test_cli_runner().invoke(args=["books", "load", str(tmp_path)])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def test_a_batch_that_another_writer_hindered_is_tried_again(load, monkeypatch):
    monkeypatch.setattr(loading, "RETRY_DELAYS", (0.0, 0.0))
    monkeypatch.setattr(loading, "commit", busy(2))
    assert load(HEAD + EMMA).stdout.startswith("loaded 1,")


def test_a_database_that_stays_away_ends_the_load_after_whole_batches(app, load, monkeypatch):
    monkeypatch.setattr(loading, "RETRY_DELAYS", (0.0, 0.0))
    monkeypatch.setattr(loading, "BATCH_ROWS", 1)
    monkeypatch.setattr(loading, "commit", busy(3, after=1))
    result = load(HEAD + EMMA + DRACULA)
    assert (result.exit_code, titles(app)) == (1, ["Emma"])
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 0\n"
    assert "Stopped after line 2" in result.stderr


def busy(times: int, after: int = 0) -> Callable[..., None]:
    """Make a commit that works ``after`` times, fails ``times`` times, and works again."""
    real, calls = loading.commit, iter(range(1_000))

    def commit(*, invalidate: list[str]) -> None:
        if after <= next(calls) < after + times:
            raise OperationalError("COMMIT", {}, Exception("database is locked"))
        real(invalidate=invalidate)

    return commit


def test_progress_is_shown_on_a_terminal_only(sqlite_database, path):
    path.write_text(HEAD + EMMA)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", "books", "load", str(path)],
        env={**os.environ, "DATABASE_URL": sqlite_database, "SECRET_KEY": SECRET},
        stdout=subprocess.PIPE,
        stderr=theirs,
        check=True,
    )
    os.close(theirs)
    assert b"100%" in os.read(ours, 100_000)
    os.close(ours)
    assert done.stdout == b"loaded 1, updated 0, unchanged 0, rejected 0\n"
