"""Rejects files: they replace no file of the user, and no device."""

import os
import socket
import stat
from pathlib import Path

import pytest

from tests.app.loading.csv_load import DRACULA, EMMA, HEAD, reasons, rejects_path

BAD = ",Nobody,9780141439846\n"


@pytest.fixture
def app(make_app, sqlite_database):
    """Files do not depend on the database."""
    return make_app(sqlite_database)


def assert_refused(result, path, content):
    """Nothing was loaded, one line says why, and the file is what it was."""
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert result.stderr.count("\n") == 1
    assert "--rejects" in result.stderr
    assert path.read_text() == content


@pytest.mark.parametrize("content", [HEAD + EMMA, HEAD + EMMA + BAD], ids=["good", "bad"])
@pytest.mark.parametrize("kind", ["same", "spelling", "hard link", "symbolic link", "relative"])
def test_the_input_is_never_the_rejects_file(load, path, monkeypatch, kind, content):
    other = path.with_name("other.csv")
    path.touch()
    if kind == "hard link":
        os.link(path, other)
    elif kind == "symbolic link":
        other.symlink_to(path)
    elif kind == "relative":
        monkeypatch.chdir(path.parent)
        other = Path(path.name)
    else:
        other = path if kind == "same" else path.parent / "." / ".." / path.parent.name / path.name
    assert_refused(load(content, "--rejects", str(other)), path, content)


def test_a_symbolic_link_to_the_input_can_be_loaded_and_its_target_stays(app, load, path):
    link = path.with_name("link.csv")
    link.symlink_to(path)
    path.write_text(HEAD + EMMA + BAD)
    command = ["books", "load", str(link), "--rejects", str(path)]
    assert app.test_cli_runner().invoke(args=command).exit_code == 2
    assert path.read_text() == HEAD + EMMA + BAD


@pytest.mark.parametrize("content", [HEAD + EMMA, HEAD + EMMA + BAD], ids=["good", "bad"])
@pytest.mark.parametrize(
    "written", [HEAD + DRACULA, "SQLite format 3\0", "line", "reason,line\n", "\0" * 9, " "]
)
def test_a_file_that_is_no_rejects_file_is_never_replaced(load, path, content, written):
    notes = path.with_name("notes.txt")
    notes.write_text(written)
    assert_refused(load(content, "--rejects", str(notes)), notes, written)


@pytest.mark.parametrize("content", [HEAD + EMMA, HEAD + EMMA + BAD], ids=["good", "bad"])
def test_a_file_of_the_user_with_the_default_name_is_never_replaced(load, path, content):
    rejects_path(path).write_text(HEAD)
    assert_refused(load(content), rejects_path(path), HEAD)


@pytest.mark.parametrize("content", [HEAD + EMMA, HEAD + EMMA + BAD], ids=["good", "bad"])
@pytest.mark.parametrize("kind", ["fifo", "folder", "socket", "device", "link to a fifo"])
def test_what_is_no_regular_file_is_never_replaced(load, path, content, kind):
    # Everything is in a temporary folder: a test that fails must not replace a real device.
    target, pipe = path.with_name("target"), path.with_name("pipe")
    listener = socket.socket(socket.AF_UNIX)
    os.mkfifo(pipe)
    if kind == "fifo":
        target = pipe
    elif kind == "folder":
        target.mkdir()
    elif kind == "socket":
        listener.bind(str(target))
    elif kind == "link to a fifo":
        target.symlink_to(pipe)
    else:
        try:
            os.mknod(target, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        except PermissionError:
            pytest.skip("only root can make a device")
    before = target.lstat()
    result = load(content, "--rejects", str(target))
    listener.close()
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert (before.st_ino, before.st_mode) == (target.lstat().st_ino, target.lstat().st_mode)
    assert stat.S_ISFIFO(pipe.lstat().st_mode)


def test_a_dash_is_no_name_of_a_rejects_file(load, path, monkeypatch):
    monkeypatch.chdir(path.parent)
    result = load(HEAD + EMMA + BAD, "--rejects", "-")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert not Path("-").exists()


def test_a_name_with_a_slash_at_its_end_is_no_name_of_a_rejects_file(load, tmp_path):
    result = load(HEAD + EMMA + BAD, "--rejects", f"{tmp_path}/new/")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "new/: a file is required" in result.stderr
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("redirection", [">output 2>&1", ">output", "2>output", "| cat >output"])
@pytest.mark.parametrize("descriptor", [1, 2])
def test_an_output_of_the_command_is_never_replaced(run, path, redirection, descriptor):
    path.write_text(HEAD + EMMA + BAD)
    # A link like /dev/stdout, which a test that fails must not replace.
    path.with_name("stream").symlink_to(f"/proc/self/fd/{descriptor}")
    command = f"flask books load books.csv --rejects stream {redirection}; stat -c %F stream"
    result = run(command)
    assert result.stdout.endswith("symbolic link\n"), result
    written = path.with_name("output").read_text()
    assert "line,reason" not in written + result.stdout + result.stderr
    assert "Error: Cannot write stream" in written + result.stdout + result.stderr


def test_a_rejects_file_of_an_earlier_load_is_replaced_and_keeps_its_mode(load, path):
    load(HEAD + BAD)
    rejects_path(path).chmod(0o640)
    load(HEAD + BAD + BAD)
    assert len(reasons(path)) == 2
    assert stat.S_IMODE(rejects_path(path).stat().st_mode) == 0o640


def test_an_empty_file_may_be_named_and_keeps_its_mode(load, path, tmp_path):
    empty = tmp_path / "empty"
    empty.touch(0o600)
    load(HEAD + BAD, "--rejects", str(empty))
    assert empty.read_text().startswith("line,reason,title")
    assert stat.S_IMODE(empty.stat().st_mode) == 0o600


def test_the_rejects_of_a_private_file_are_private(load, path):
    path.touch(0o600)
    load(HEAD + BAD)
    assert stat.S_IMODE(rejects_path(path).stat().st_mode) == 0o600


def test_a_link_to_a_rejects_file_stays_a_link(load, path):
    target, link = path.with_name("target.csv"), path.with_name("link.csv")
    link.symlink_to(target)
    for _ in range(2):
        load(HEAD + BAD, "--rejects", str(link))
        assert link.is_symlink()
        assert target.read_text().startswith("line,reason,title")
    load(HEAD + EMMA, "--rejects", str(link))
    assert link.is_symlink()
    assert not target.exists()


def test_a_file_that_appears_during_the_load_is_not_replaced(app, load, path, monkeypatch):
    def appear(*_):
        rejects_path(path).write_text("mine")

    monkeypatch.setattr("app.loading.loader.SeenKeys.remember", appear)
    result = load(HEAD + EMMA + BAD)
    assert rejects_path(path).read_text() == "mine"
    kept = Path(result.stderr.split("reasons: ")[1].strip())
    assert kept.read_text().startswith("line,reason,title")


def test_a_name_that_is_too_long_for_the_rejects_file_is_reported_before_the_load(app, tmp_path):
    path = tmp_path / ("x" * 250)
    path.write_text(HEAD + EMMA)
    result = app.test_cli_runner().invoke(args=["books", "load", str(path)])
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "--rejects" in result.stderr
