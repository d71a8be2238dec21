"""The locks install with any pip: nothing in them is resolved again."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

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


def run(*words, cwd):
    # Compiling what is installed would take most of the time, and nothing is imported here.
    environment = {**os.environ, "PIP_NO_COMPILE": "1"}
    done = subprocess.run(
        words, check=False, cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
