"""Inputs of every kind: files, pipes, devices and the standard input."""

import os
import signal
import stat
import subprocess
import sys
import threading

import pytest

from app.loading.files import Input, LoadError
from tests.app.loading.csv_load import EMMA, HEAD, ROOT, SECRET
from tests.waiting import PATIENCE, wait_until


@pytest.fixture
def app(make_app, sqlite_database):
    """Files do not depend on the database."""
    return make_app(sqlite_database)


PIPES = {
    "dash": "cat books.csv | flask books load -",
    "stdin": "cat books.csv | flask books load /dev/stdin",
    "descriptor": "flask books load /dev/fd/3 3< <(cat books.csv)",
    "substitution": "flask books load <(cat books.csv)",
    "redirected": "flask books load - <books.csv",
    "redirected device": "flask books load /dev/stdin <books.csv",
}


@pytest.mark.parametrize("command", PIPES.values(), ids=PIPES)
def test_a_pipe_of_several_batches_is_loaded(run, path, command):
    rows = "".join(f"Book {n},Somebody,,b{n}\n" for n in range(2_500))
    path.write_text("title,author,isbn,source_id\n" + rows + ",Nobody,,b\n")
    result = run(f"{command} --key source_id")
    assert result.stdout == "loaded 2500, updated 0, unchanged 0, rejected 1\n", result.stderr
    assert result.returncode == 1
    assert result.stderr == "Rejected rows, with reasons: stdin.rejects.csv\n"
    assert len((path.parent / "stdin.rejects.csv").read_text().splitlines()) == 2


def test_a_named_pipe_is_loaded(app, tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=(HEAD + EMMA,))
    writer.start()
    result = app.test_cli_runner().invoke(args=["books", "load", str(path)])
    writer.join()
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 0\n", result.output
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_the_standard_input_is_loaded(app, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = app.test_cli_runner().invoke(args=["books", "load", "-"], input=HEAD + EMMA)
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 0\n", result.output


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("flask books load - <&-", "Cannot read the standard input"),
        ("printf '' | flask books load -", "is empty"),
        ("flask books load books.csv >/dev/full", "No space left on device"),
    ],
)
def test_a_standard_stream_that_fails_is_reported_in_one_line(run, path, command, message):
    path.write_text(HEAD + EMMA)
    result = run(command)
    assert result.returncode in (1, 2)
    assert message in result.stderr
    assert (result.stdout, result.stderr.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (".", "Is a directory"),
        ("", "Is a directory"),
        ("missing.csv", "No such file"),
        ("books.csv/x", "Not a directory"),
        ("x" * 300, "File name too long"),
        ("/proc/self/mem", "Input/output error"),
        ("/dev/null", "is empty"),
    ],
)
def test_an_input_that_fails_is_reported_in_one_line(app, path, monkeypatch, name, message):
    monkeypatch.chdir(path.parent)
    path.write_text(HEAD + EMMA)
    result = app.test_cli_runner().invoke(args=["books", "load", name])
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert message in result.stderr


def test_an_input_that_fails_during_the_load_ends_it_after_a_whole_batch(load, monkeypatch, titles):
    monkeypatch.setattr("app.loading.loader.BATCH_ROWS", 1)
    monkeypatch.setattr("app.loading.csv_files.MAX_RECORD_CHARACTERS", 100)
    read = Input.readinto

    def fail(source, buffer):
        if source.position:
            raise LoadError("Cannot read books.csv: Input/output error.")
        return read(source, buffer)

    monkeypatch.setattr(Input, "readinto", fail)
    result = load(HEAD + EMMA + "".join(f"Book {n},Somebody,\n" for n in range(1_000)))
    assert (result.exit_code, titles()) == (1, ["Emma"])
    assert "Stopped after line" in result.stderr
    assert "Input/output error" in result.stderr


def test_a_closed_output_is_no_error_with_a_traceback(run, path):
    path.write_text(HEAD + EMMA)
    result = run("(flask books load books.csv; echo $? >status) | true; cat status")
    assert "Traceback" not in result.stderr
    assert run("flask books load books.csv").stdout.startswith("loaded 0, updated 0, unchanged 1")


def test_an_interruption_ends_a_load_that_waits_for_its_input(app, sqlite_database, titles, path):
    pipe = path.with_name("pipe")
    os.mkfifo(pipe)
    process = subprocess.Popen(
        [sys.executable, "-m", "flask", "--app", "wsgi", "books", "load", str(pipe)],
        env={**os.environ, "DATABASE_URL": sqlite_database, "SECRET_KEY": SECRET},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # Opened for both directions, it waits for no reader, and never ends.
    with os.fdopen(os.open(pipe, os.O_RDWR), "w") as file:
        file.write("title,author,source_id\n")
        file.writelines(f"Emma,Jane Austen,e{n}\n" for n in range(1_500))
        file.flush()
        wait_until(lambda: titles() or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out[:12]) == (130, "loaded 1000,"), err
    assert "Interrupted after line 1001." in err
