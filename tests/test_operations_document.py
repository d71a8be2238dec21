"""The operator's guide: it names each line that the service can log, and access.md each field."""

import ast
import re
from pathlib import Path

from app.logging import EXTRA

ROOT = Path(__file__).parents[1]
GUIDE = " ".join((ROOT / "docs/operations.md").read_text().split())
SEVERE = {"warning", "error", "exception", "critical"}


def messages(source):
    """Return the constant messages of the warnings and errors that a module logs."""
    found = []
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        of_logger = isinstance(call.func, ast.Attribute) and call.func.attr in SEVERE
        of_warning = isinstance(call.func, ast.Name) and call.func.id == "RepeatedWarning"
        if of_logger or of_warning:
            found += [
                word.value
                for word in call.args
                if isinstance(word, ast.Constant) and isinstance(word.value, str)
            ]
    return found


def is_named(message):
    """Return whether the guide has how ``message`` begins, up to its first colon or value."""
    beginning = next(filter(str.strip, re.split(r"%[sd]|[:;,(]", message)), "").strip()
    return beginning in GUIDE


def test_each_warning_and_error_is_in_the_guide():
    logged = {
        message for path in (ROOT / "app").rglob("*.py") for message in messages(path.read_text())
    }
    assert len(logged) > 30
    assert [message for message in sorted(logged) if not is_named(message)] == []


def test_a_line_that_the_guide_lacks_is_found():
    (message,) = messages('log.warning("the moon is full: %s", phase)')
    assert not is_named(message)


def test_each_field_of_a_record_is_described():
    rows = re.findall(r"^\| (`[^|]+) \|", (ROOT / "docs/access.md").read_text(), re.MULTILINE)
    described = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert set(EXTRA) <= described
