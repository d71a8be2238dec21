"""`flask changes new-log`, after which no cursor of the old log is valid."""

import pytest

from tests.app.events.steps import execute, head, write
from tests.waiting import wait_until


@pytest.fixture
def new_log(app):
    """Run the command; return the name of the new log."""

    def run():
        result = app.test_cli_runner().invoke(args=["changes", "new-log"])
        assert result.exit_code == 0, result.output
        return result.stdout.rpartition(" ")[2].strip()

    return run


def get(client, query):
    response = client.get(f"/changes?{query}")
    return response.status_code, response.json


def test_a_cursor_from_before_a_restore_does_not_name_an_event_after_it(app, client, new_log):
    """The application runs all the time, as the workers of a service may."""
    for _ in range(3):
        write(app)
    cursor = get(client, "after=now")[1]["cursor"]
    execute(app, "DELETE FROM event WHERE position > 2")
    execute(app, "UPDATE event_head SET position = 2")
    name = new_log()
    write(app, topic="after")
    old = cursor.rpartition("-")[0]
    for after in (cursor, f"{old}-2", f"{old}-0"):
        assert get(client, f"after={after}")[0] == 410
    status, page = get(client, f"after={name}-2")
    assert (status, [item["cursor"] for item in page["items"]]) == (200, [f"{name}-3"])
    assert len(get(client, "")[1]["items"]) == 3  # the new log has the events of the old one


def test_each_run_begins_another_log_which_goes_on_with_its_positions(app, new_log):
    write(app)
    names = [head(app).log, new_log(), new_log()]
    assert len(set(names)) == 3
    assert head(app) == (names[-1], 1, 1)


def test_a_database_without_a_head_gets_one(app, new_log):
    write(app)
    execute(app, "DELETE FROM event_head")
    name = new_log()
    assert head(app) == (name, 1, 1)


def test_what_was_cached_before_a_restore_is_not_served_after_it(make_app, database, fresh_redis):
    """In Redis, and in the memory of a process that runs meanwhile, where it needs no Redis."""
    url = None if database.startswith("sqlite") else fresh_redis
    app = make_app(database, redis_url=url)
    client = app.test_client()
    client.post("/books", json={"title": "Emma", "author": "Jane Austen"})
    wait_until(lambda: is_hit(client.get("/books/1")))
    execute(app, "UPDATE book SET title = 'Of the backup', version = version + 1")
    assert client.get("/books/1").json["title"] == "Emma"
    assert app.test_cli_runner().invoke(args=["changes", "new-log"]).exit_code == 0
    wait_until(lambda: client.get("/books/1").json["title"] == "Of the backup")


def is_hit(response):
    return response.headers["Cache-Status"].startswith("bookstall; hit")
