"""The locks install with any pip: nothing in them is resolved again."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[1]
OLDEST_PIP = "22.3"
"""What Python 3.11.0 brings; pip resolved extras of hash-locked packages again until 23.3."""
LEFT_OUT = shutil.ignore_patterns(".*", "instance", "tests", "docs", "*.egg-info", "__pycache__")


def test_both_locks_install_with_the_oldest_pip_of_python_3_11(tmp_path):
    project = tmp_path / "bookstall"
    shutil.copytree(ROOT, project, ignore=LEFT_OUT)
    run(sys.executable, "-m", "venv", ".venv", cwd=project)
    run(".venv/bin/pip", "install", "--quiet", f"pip=={OLDEST_PIP}", cwd=project)
    run("make", "install", cwd=project)
    assert run(".venv/bin/pip", "--version", cwd=project).startswith(f"pip {OLDEST_PIP} ")
    assert run(".venv/bin/pip", "check", cwd=project) == "No broken requirements found.\n"


@pytest.mark.parametrize("target", ["run", "test", "stack"])
def test_make_says_what_it_does_before_it_does_it(tmp_path, target):
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.lock", "requirements-dev.lock", "setup.cfg"):
        (tmp_path / name).touch()
    # The suite itself is started by make, which tells its children so.
    outside = {
        name: os.environ[name] for name in os.environ if not name.startswith(("MAKE", "MFLAGS"))
    }
    done = subprocess.run(
        ["make", target, "PYTHON=false"],
        env=outside,
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert done.stdout.startswith("Creating .venv: ")


def test_nobody_is_told_to_install_a_package_of_our_name_from_an_index():
    tracked = run("git", "ls-files", "*.py", "*.md", "*.cfg", "*.toml", "Makefile", cwd=ROOT)
    wrong = re.compile(r"pip install [^\n]*\bbookstall\b")
    for path in tracked.split():
        if path != "tests/test_install.py" and (ROOT / path).exists():
            assert not wrong.search((ROOT / path).read_text()), path


def test_no_command_of_a_library_that_is_not_used_is_installed():
    groups = {"db", "routes", "run", "shell"}
    theirs = {entry.name for entry in entry_points(group="flask.commands")}
    assert theirs <= groups
    assert not importlib.util.find_spec("flask_limiter")


def run(*words, cwd):
    # Compiling what is installed would take most of the time, and nothing is imported here.
    # The index may be slow.
    pip = {"PIP_NO_COMPILE": "1", "PIP_DEFAULT_TIMEOUT": str(PATIENCE), "PIP_RETRIES": "10"}
    environment = {**os.environ, **pip}
    done = subprocess.run(
        words, check=False, cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
