"""Keys that expire, secrets that are replaced, and the scope for everything."""

import re
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import update

from app.auth import api_keys
from app.auth.api_keys import ApiKey
from app.extensions import db
from tests.app.auth.keys import BOOK, bearer, make_key, run_keys, set_clock

HOUR = 3_600.0


@pytest.fixture
def later(monkeypatch):
    """Let the clock by which secrets expire go forward; that of the database stays."""

    def go(seconds):
        clock = SimpleNamespace(time=lambda: time.time() + seconds, monotonic=time.monotonic)
        monkeypatch.setattr(api_keys, "time", clock)

    return go


def status(app, token):
    return app.test_client().get("/books", headers=bearer(token)).status_code


def rotate(app, token, *options):
    result = run_keys(app, "rotate", token, *options)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def test_a_key_expires_at_its_instant_also_in_the_copy_of_a_process(app, later):
    token = run_keys(app, "create", "a shop", "--expires", "1h").stdout.strip()
    lasting = make_key(app)
    assert [status(app, token), status(app, lasting)] == [200, 200]
    later(HOUR - 60)
    assert status(app, token) == 200
    later(HOUR)
    assert [status(app, token), status(app, lasting)] == [401, 200]


def test_a_process_that_starts_later_does_not_know_an_expired_key(make_app, database):
    first = make_app(database)
    token = run_keys(first, "create", "a shop", "--expires", "1h").stdout.strip()
    with first.app_context():
        an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
        db.session.execute(update(ApiKey).values(expires_at=an_hour_ago))
        db.session.commit()
    assert status(make_app(database), token) == 401


def test_two_secrets_are_valid_during_the_grace_and_then_the_new_one(make_app, database, later):
    app, other = make_app(database), make_app(database)
    old = make_key(app, "books:write")
    assert [status(each, old) for each in (app, other)] == [200, 200]
    new = rotate(app, old, "--grace", "2h")
    assert new[:17] == old[:17]
    assert new != old
    time.sleep(api_keys.MISS_CACHE_SECONDS)
    for each in (app, other):
        assert [status(each, token) for token in (old, new)] == [200, 200]
        for token in (old, new):
            sent = each.test_client().post("/books", json=BOOK, headers=bearer(token))
            assert sent.status_code == 201
    later(2 * HOUR)
    for each in (app, other):
        assert [status(each, token) for token in (old, new)] == [401, 200]


def test_a_grace_of_nothing_ends_every_older_secret_within_a_second(app, monkeypatch):
    oldest = make_key(app)
    old = rotate(app, oldest, "--grace", "1h")
    time.sleep(api_keys.MISS_CACHE_SECONDS)
    assert [status(app, token) for token in (oldest, old)] == [200, 200]
    new = rotate(app, old, "--grace", "0s")
    set_clock(monkeypatch, 1)
    assert [status(app, token) for token in (oldest, old, new)] == [401, 401, 200]


def test_a_second_rotation_never_prolongs_an_older_secret(app, later):
    first = make_key(app)
    second = rotate(app, first, "--grace", "1h")
    third = rotate(app, second, "--grace", "3h")
    time.sleep(api_keys.MISS_CACHE_SECONDS)
    assert [status(app, token) for token in (first, second, third)] == [200] * 3
    later(HOUR)
    assert [status(app, token) for token in (first, second, third)] == [401, 200, 200]
    later(3 * HOUR)
    assert [status(app, token) for token in (first, second, third)] == [401, 401, 200]


def test_a_rotation_keeps_the_end_of_a_key_or_gives_it_another(app, later):
    old = run_keys(app, "create", "a shop", "--expires", "1h").stdout.strip()
    kept = rotate(app, old, "--grace", "5h")
    time.sleep(api_keys.MISS_CACHE_SECONDS)
    later(HOUR)
    assert [status(app, token) for token in (old, kept)] == [401, 401]
    longer = rotate(app, old, "--expires", "9h", "--grace", "5h")
    time.sleep(api_keys.MISS_CACHE_SECONDS)
    later(2 * HOUR)
    assert [status(app, token) for token in (old, longer)] == [401, 200]
    later(5 * HOUR)
    assert [status(app, token) for token in (kept, longer)] == [401, 200]


def test_an_end_that_is_brought_forward_holds_for_older_secrets_too(app, later):
    old = make_key(app)
    new = rotate(app, old, "--expires", "1h", "--grace", "5h")
    time.sleep(api_keys.MISS_CACHE_SECONDS)
    assert [status(app, token) for token in (old, new)] == [200, 200]
    later(HOUR)
    assert [status(app, token) for token in (old, new)] == [401, 401]


def test_a_revoked_key_loses_all_its_secrets_and_is_not_rotated(app, monkeypatch):
    old = make_key(app)
    new = rotate(app, old)
    assert status(app, old) == 200
    assert run_keys(app, "revoke", old).exit_code == 0
    set_clock(monkeypatch, 1)
    assert [status(app, token) for token in (old, new)] == [401, 401]
    assert "this key is revoked" in run_keys(app, "rotate", old).output


def test_an_expired_key_is_rotated_only_with_a_new_end(app):
    token = make_key(app)
    with app.app_context():
        db.session.execute(update(ApiKey).values(expires_at=datetime(2026, 1, 1, tzinfo=UTC)))
        db.session.commit()
    assert "give it another end with --expires" in run_keys(app, "rotate", token).output
    new = rotate(app, token, "--expires", "1h")
    time.sleep(api_keys.MISS_CACHE_SECONDS)
    assert [status(app, each) for each in (token, new)] == [401, 200]


def test_the_list_shows_when_a_key_expires_and_until_when_an_old_secret_is_valid(app):
    token = run_keys(app, "create", "a shop", "--expires", "2100-01-31T12:00:00+02:00")
    assert token.exit_code != 0  # more than ten years
    year = datetime.now(UTC).year + 1
    token = run_keys(app, "create", "a shop", "--expires", f"{year}-01-31T12:00:00+02:00")
    assert f"It expires on {year}-01-31 10:00." in token.stderr
    assert len(re.findall(r"\d\d:\d\d", run_keys(app, "list").stdout)) == 2
    rotated = run_keys(app, "rotate", token.stdout.strip(), "--grace", "1d")
    assert "Its older secrets are valid until" in rotated.stderr
    assert rotated.stdout.count("\n") == 1
    listed = run_keys(app, "list").stdout
    assert f"{year}-01-31 10:00" in listed
    assert len(re.findall(r"\d\d:\d\d", listed)) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("create", "x", "--expires", "yesterday"), "must be a time from now such as 30d"),
        (("create", "x", "--expires", "2020-01-01"), "must be in the future"),
        (("create", "x", "--expires", "0s"), "must be in the future"),
        (("create", "x", "--expires", "999999999d"), "must be a time from now"),
        (("create", "x", "--expires", "1h30m"), "must be a time from now"),
        (("rotate", "0123456789ab"), "key not found"),
        (("rotate", "0123456789ab", "--grace", "1"), "must be a time such as 90s"),
        (("rotate", "0123456789ab", "--grace", "-1h"), "must be a time such as 90s"),
    ],
)
def test_invalid_arguments_are_an_error_of_one_line(app, arguments, message):
    result = run_keys(app, *arguments)
    assert result.exit_code != 0
    assert message in result.output
    assert result.stdout == ""
    assert run_keys(app, "list").stdout.count("\n") == 1


def test_the_scope_for_everything_allows_every_write(make_app, database):
    app = make_app(database, require_api_key=True)
    client, headers = app.test_client(), bearer(make_key(app, "*"))
    product = {"sku": "LAMP-1", "name": "Lamp", "price": "19.99"}
    for path, body in (("/books", BOOK), ("/products", product)):
        assert client.post(path, json=body, headers=headers).status_code == 201


def test_every_scope_that_a_route_needs_can_be_given(app):
    scopes = {f"{thing}:write" for thing in ("books", "reviews", "products", "webhooks")}
    scopes.add("reviews:moderate")
    for name in (*scopes, "*"):
        assert run_keys(app, "create", "x", "--scope", name).exit_code == 0
    document = app.test_client().get("/openapi.json").json
    operations = [item for path in document["paths"].values() for item in path.values()]
    needed = {item.get("x-scope") for item in operations if isinstance(item, dict)}
    assert needed - {None} <= scopes
