"""LIKE patterns: every character of the text counts literally."""

import pytest
from sqlalchemy import literal, select

from app.db.statements import LIKE_ESCAPE, escape_like
from app.extensions import db


@pytest.mark.parametrize("text", ["%", "_", "/", "//", "50 %_/", "\\", "a%b"])
def test_an_escaped_text_matches_only_itself(app, text):
    def matches(value: str) -> bool:
        pattern = literal(value).like(f"%{escape_like(text)}%", escape=LIKE_ESCAPE)
        with app.app_context():
            return bool(db.session.scalar(select(pattern)))

    assert matches(f"before {text} after")
    assert not matches("before x after")
