"""The table of bounds says what the code does, and the log is not filled by clients."""

import logging
import re
import time
from importlib import import_module
from pathlib import Path

import pytest

from app.server import bounds
from app.server.bounds import RefusalFilter, RepeatedWarning, connection_limit
from tests.waiting import wait_until

ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs/bounds.md").read_text()
ROWS = re.findall(r"^\| (.*) \| (.*) \| (.*) \| (.*)\| (?:(`.*`) )?\|$", DOCUMENT, re.MULTILINE)
MODULES = (
    "app.server.bounds",
    "app.config",
    "app.db.snapshots",
    "app.graphql.strawberry_adapter",
    "app.live.asgi",
    "app.live.connection",
    "app.live.operations",
    "app.live.protocols",
    "app.live.registry",
    "app.live.shared_execution",
    "inventory.views",
)


def value_of(constant):
    """Return the value of a constant, or of a setting in gunicorn.conf.py."""
    if constant.islower():
        found = re.search(
            rf"^{constant} = ([0-9_]+)$", (ROOT / "gunicorn.conf.py").read_text(), re.MULTILINE
        )
        assert found, constant
        return int(found[1])
    return next(
        vars(module)[constant] for module in map(import_module, MODULES) if constant in vars(module)
    )


def written(value):
    """Return the ways to write a value in the table."""
    numbers = {f"{value:,.0f}", f"{value / 1024:g} KiB", f"{value / 1024**2:g} MiB"}
    return {f"{value:g} s", f"{value / 3600:g} h", f"{value:,.0f} bytes"} | numbers


@pytest.mark.parametrize("row", [row for row in ROWS if row[4]], ids=lambda row: row[0][:60])
def test_a_bound_in_the_document_is_the_constant(row):
    constants = re.findall(r"`(\w+)`", row[4])
    assert constants
    for constant in constants:
        ways = written(value_of(constant))
        assert any(re.search(rf"(?<![\d,]){re.escape(way)}(?![\d,]?\d)", row[1]) for way in ways), (
            row
        )


def test_the_document_names_each_kind_and_reason_and_each_constant():
    cells = {cell.strip() for row in ROWS for cell in row[3].split(";")} - {"", "counted as"}
    named = {(kind, reason) for kind, reason in (cell.split(", ") for cell in cells)}
    counted = {(kind, reason) for kind, reasons in bounds.CUTS.items() for reason in reasons}
    assert named | {("head", "capacity")} == counted
    constants = {name for name in vars(bounds) if name.startswith("MAX_") or "TIMEOUT" in name}
    assert [name for name in constants if f"`{name}`" not in DOCUMENT] == []


@pytest.mark.parametrize(
    ("open_files", "limit"), [(20_000, 16_384), (-1, 16_384), (1_024, 896), (256, 128), (64, 32)]
)
def test_a_process_with_few_files_accepts_fewer_connections(open_files, limit):
    assert connection_limit(open_files) == limit


@pytest.fixture
def log(caplog, monkeypatch):
    monkeypatch.setattr(RepeatedWarning, "INTERVAL_SECONDS", 0.2)
    caplog.set_level(logging.WARNING, "tests.bounds")
    return logging.getLogger("tests.bounds")


def test_a_warning_that_is_repeated_is_logged_at_once_and_then_with_a_count(log, caplog):
    def counted():
        counts = [re.search(r"\((\d+) times\)", message) for message in caplog.messages]
        return sum(int(count[1]) if count else 1 for count in counts)

    warn, began = RepeatedWarning(log, "refused"), time.monotonic()
    for number in range(100):
        warn(f"client {number}")
    intervals = (time.monotonic() - began) / RepeatedWarning.INTERVAL_SECONDS
    wait_until(lambda: counted() == 100)
    assert caplog.messages[0] == "refused: client 0"
    assert any(message.startswith("refused: client 99") for message in caplog.messages)
    assert 2 <= len(caplog.messages) <= 2 + intervals


def test_a_warning_that_is_not_repeated_has_no_count(log, caplog):
    warn = RepeatedWarning(log, "refused")
    warn()
    time.sleep(0.3)
    warn()
    assert caplog.messages == ["refused", "refused"]


def test_only_the_warnings_of_malformed_requests_are_counted(log, caplog):
    def record(message):
        return logging.LogRecord("gunicorn.error", logging.WARNING, "", 0, message, None, None)

    refusals = RefusalFilter(log)
    assert refusals.filter(record("Worker was sent SIGKILL"))
    assert not refusals.filter(record("Invalid request from ip=127.0.0.1: nonsense"))
    assert caplog.messages == ["refused a malformed request: ip=127.0.0.1: nonsense"]


def test_gunicorn_begins_its_warnings_of_malformed_requests_with_these_words():
    source = import_module("gunicorn.workers.base").__file__
    assert f'"{bounds.REFUSAL}ip=' in Path(source).read_text()
