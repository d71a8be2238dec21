import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import text

from app.extensions import db
from tests.app.loading.csv_load import ROOT, SECRET, Load, load_command
from tests.waiting import PATIENCE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "books.csv"


@pytest.fixture
def load(app: Flask, path: Path) -> Load:
    """A factory of loads of a file of books with the given content."""
    return load_command(app, "books", path)


@pytest.fixture
def titles(app: Flask) -> Callable[[], list[str]]:
    """Return the titles of all books."""

    def read() -> list[str]:
        with app.app_context():
            return list(db.session.scalars(text("SELECT title FROM book ORDER BY id")))

    return read


@pytest.fixture
def run(sqlite_database: str, tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Run a shell command line in a folder, with ``flask`` and a database.

    Its result does not have the log of slow queries, which any is on a busy machine.
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {"PATH": path, "DATABASE_URL": sqlite_database, "SECRET_KEY": SECRET}

    def run(command: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["bash", "-c", command],
            env={**env, "FLASK_APP": str(ROOT / "wsgi.py")},
            cwd=tmp_path,
            capture_output=True,
            check=False,
            text=True,
            timeout=PATIENCE,
        )
        lines = done.stderr.splitlines(keepends=True)
        done.stderr = "".join(line for line in lines if '"bookstall.queries"' not in line)
        return done

    return run
