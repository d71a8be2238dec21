"""The folder of a master: made, locked, removed; and those of masters that were killed."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from app import run_folder
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
PROGRAM = """
import os, sys
from app import run_folder
run_folder.create()
if sys.argv[1:] == ["worker"] and os.fork() == 0:
    sys.exit(sys.stdin.read())
print(run_folder.current(), os.environ["PROMETHEUS_MULTIPROC_DIR"], flush=True)
if sys.argv[1:] == ["fork"] and os.fork() == 0:
    sys.exit()
sys.stdin.read()
"""


@pytest.fixture
def start(tmp_path):
    """A factory of processes with a folder; returns the process, its folder and its metrics."""
    started = []

    def start(*arguments, **environment):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            env={"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        words = process.stdout.readline().split()
        return process, *map(Path, words)

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_the_folder_is_removed_at_the_end_and_not_by_a_child(start):
    process, folder, metrics = start("fork")
    assert metrics == folder
    assert (folder / "pid").read_text() == str(process.pid)
    assert folder.stat().st_mode & 0o777 == 0o700
    process.communicate("")
    assert process.returncode == 0
    assert not folder.exists()


def test_a_start_removes_the_folders_of_killed_processes_alone(start, tmp_path):
    (killed, of_killed, _), (_, of_running, _) = start(), start()
    foreign = tmp_path / "bookstall-metrics-foreign"
    foreign.mkdir()
    (tmp_path / "bookstall-metrics-link").symlink_to(of_killed)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    start()
    assert not of_killed.exists()
    assert of_running.exists()
    assert foreign.exists()


def test_a_start_waits_for_the_workers_of_a_killed_process(start, tmp_path, monkeypatch):
    killed, folder, _ = start("worker")
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    # The worker ends when the start has found that it runs.
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: killed.communicate(""))
    monkeypatch.setattr(run_folder, "time", clock)
    monkeypatch.setattr(run_folder, "PATIENCE_SECONDS", PATIENCE)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run_folder._remove_abandoned()
    assert killed.stdout.closed
    assert not folder.exists()


def test_an_operator_can_choose_the_folder_of_the_metrics(start, tmp_path):
    chosen = tmp_path / "of/the/operator"
    process, folder, metrics = start(PROMETHEUS_MULTIPROC_DIR=str(chosen))
    assert metrics == chosen != folder
    process.communicate("")
    assert chosen.is_dir()
    assert not folder.exists()


def test_what_is_inherited_from_another_master_is_replaced(start, tmp_path):
    old = str(tmp_path / "bookstall-metrics-old")
    _, folder, metrics = start(BOOKSTALL_RUN_FOLDER=old, PROMETHEUS_MULTIPROC_DIR=old)
    assert metrics == folder != Path(old)


def test_a_folder_that_cannot_be_made_is_one_line(start, tmp_path):
    process, *_ = start(PROMETHEUS_MULTIPROC_DIR="/proc/none/metrics")
    _, errors = process.communicate()
    assert process.returncode == 1
    assert errors.startswith("bookstall: the folder of the metrics cannot be made: ")
    assert errors.count("\n") == 1
    assert not list(tmp_path.glob("bookstall-metrics-*"))
