"""The options of the load commands."""

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

from tests.app.loading.csv_load import EMMA, HEAD, SECRET


def test_columns_can_be_named_for_a_file_without_a_header(load, titles):
    assert load(EMMA, "--columns", "title, author, isbn").stdout.startswith("loaded 1,")
    assert titles() == ["Emma"]


def test_a_field_can_be_read_from_another_column_or_left_out(load, titles):
    rows = "name,title,author,isbn\nEmma,Novel,Jane Austen,not an isbn\n"
    result = load(
        rows.replace("isbn\n", "isbn,source_id\n").replace("an isbn\n", "an isbn,e1\n"),
        *("--map", "title=name", "--map", "isbn="),
    )
    assert result.stdout.startswith("loaded 1,"), result.output
    assert titles() == ["Emma"]


@pytest.mark.parametrize(
    ("content", "options", "message"),
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
def test_an_invalid_option_or_file_is_reported_in_one_line_before_anything_is_written(
    load, path, content, options, message
):
    result = load(content, *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert [file.name for file in path.parent.glob("*rejects*")] == []


def test_a_folder_cannot_be_loaded(app, tmp_path):
    result = app.test_cli_runner().invoke(args=["books", "load", str(tmp_path)])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize("name", ["file", "pipe"])
def test_progress_is_shown_only_on_a_terminal(sqlite_database, path, name):
    path.write_text(HEAD + EMMA)
    name = str(path) if name == "file" else "-"
    reader, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", "books", "load", name],
        env={**os.environ, "DATABASE_URL": sqlite_database, "SECRET_KEY": SECRET},
        input=path.read_bytes(),
        stdout=subprocess.PIPE,
        stderr=terminal,
        check=True,
    )
    os.close(terminal)
    shown = b""
    with os.fdopen(reader, "rb", 0) as file, contextlib.suppress(OSError):  # EIO at the end
        while part := file.read(100_000):  # perhaps not all at once
            shown += part
    assert (b"49.0B" if name == "-" else b"100%") in shown
    assert process.stdout == b"loaded 1, updated 0, unchanged 0, rejected 0\n"
