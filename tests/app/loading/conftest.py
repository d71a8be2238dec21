from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import text

from app.extensions import db
from tests.app.loading.csv_load import Load, load_command


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
