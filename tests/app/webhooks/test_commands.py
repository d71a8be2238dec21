"""`flask webhooks ...`: the same as the routes."""

import pytest

from app.webhooks import commands
from tests.app.webhooks.rows import FAILING, GIVEN_UP, URL, add_deliveries, row_of, set_columns


@pytest.fixture
def app(make_app, database):
    """The service with its default: no private targets."""
    return make_app(database)


@pytest.fixture
def run(app):
    """Run a command; return its result."""
    return lambda *arguments: app.test_cli_runner().invoke(args=["webhooks", *arguments])


@pytest.fixture
def ok(run):
    """Run a command that succeeds; return what it prints on the standard output."""

    def run_ok(*arguments):
        result = run(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    return run_ok


def test_create_prints_only_the_secret_on_the_standard_output(app, ok):
    assert ok("list").count("\n") == 1
    secret = ok("create", URL, "--type", "stock.changed", "--description", "search index")
    assert secret.startswith("whsec_")
    assert secret.count("\n") == 1
    listed = ok("list")
    assert URL in listed
    assert "stock.changed" in listed
    assert "whsec_" not in listed
    shown = ok("show", "1")
    assert "search index" in shown
    assert "enabled" in shown


def test_update_changes_what_is_given(app, ok, run):
    ok("create", URL, "--type", "stock.changed")
    assert "all events" in ok("update", "1", "--all-types", "--url", "https://new.example/")
    assert "disabled" in ok("update", "1", "--disable")
    set_columns(app, 1, **GIVEN_UP)
    assert "disabled because: an event failed for 3 days" in ok("show", "1")
    assert "failing since" not in ok("update", "1", "--enable")
    set_columns(app, 1, **FAILING)
    assert "failing since:    2026-01-02 03:04:05" in ok("show", "1")
    assert "failing" in ok("list")
    assert run("update", "1", "--all-types", "--type", "book.created").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("create", "http://shop.example/"), "must start with https://"),
        (("create", URL, "--type", "stock.changd"), "stock.changd"),
        (("create", URL, "--description", "x" * 201), "Error: description: Length"),
        (("update", "1"), "Error: Provide at least one of"),
        (("update", "7", "--enable"), "There is no webhook 7."),
        (("show", "7"), "There is no webhook 7."),
        (("delete", "7"), "There is no webhook 7."),
        (("replay", "7", "now"), "There is no webhook 7."),
        (("replay", "1", "yesterday"), "Not a cursor"),
        (("replay", "1", "0123456789abcdef-1"), "gone"),
        (("rotate", "1", "--grace", "8d"), "grace"),
        (("rotate", "1", "--grace", "soon"), "must be a time such as"),
        (("test", "7"), "There is no webhook 7."),
        (("deliveries", "7"), "There is no webhook 7."),
        (("show", "x"), "x"),
    ],
)
def test_what_is_refused_ends_with_a_reason_and_changes_nothing(app, ok, run, arguments, message):
    ok("create", URL)
    result = run(*arguments)
    assert result.exit_code != 0
    assert message in result.output
    assert "Traceback" not in result.output
    assert ok("list").count("\n") == 2
    assert row_of(app, 1).version == 1


def test_replay_rotate_and_delete(app, ok, run):
    first = ok("create", URL)
    set_columns(app, 1, cursor_log="0" * 16)
    ok("replay", "1", "now")
    assert row_of(app, 1).cursor_log != "0" * 16
    assert ok("rotate", "1", "--grace", "1h") != first
    assert row_of(app, 1).old_secret is not None
    ok("update", "1", "--disable")
    assert "It is disabled" in run("replay", "1", "now").stderr
    ok("delete", "1")
    assert ok("list").count("\n") == 1


def test_test_prints_what_came_of_it(app, run, ok):
    """The deliverer has sent the test already: as it does while the command waits."""
    ok("create", URL)
    set_columns(app, 1, test_id="test-1")
    add_deliveries(app, 1, {"message_id": "test-1", "type": "webhook.test", "status": 204})
    assert "webhook.test" in ok("test", "1")
    assert ok("deliveries", "1") == ok("test", "1")
    set_columns(app, 1, test_id="test-2")
    failed = {"message_id": "test-2", "type": "webhook.test", "error": "no connection"}
    add_deliveries(app, 1, failed)
    result = run("test", "1")
    assert result.exit_code == 1
    assert "no connection" in result.stdout
    assert ok("deliveries", "1", "--limit", "1") == result.stdout


def test_test_says_that_nobody_delivers(run, ok, monkeypatch):
    monkeypatch.setattr(commands, "TEST_WAIT_SECONDS", 0.0)
    ok("create", URL)
    result = run("test", "1")
    assert result.exit_code == 1
    assert "flask webhooks deliver" in result.output
