"""The rules of access, asked without any HTTP request."""

import time

import pytest

from app.auth.api_keys import MISS_CACHE_SECONDS, new_token
from app.config import Rate
from app.errors import Forbidden, TooManyRequests, Unauthorized, Unavailable
from app.services import services_of


@pytest.fixture
def key(app):
    created = app.test_cli_runner().invoke(args=["keys", "create", "x", "--scope", "books:write"])
    time.sleep(MISS_CACHE_SECONDS)
    return created.stdout.strip()


def test_who_asks_is_a_key_else_an_address(app, key):
    access = services_of(app).access_policy
    assert access.identify(f"Bearer {key}", "192.0.2.1").name == f"key {key[4:16]}"
    assert access.identify(None, "192.0.2.1").name == "address 192.0.2.1"
    wrong = access.identify(f"Bearer {new_token()[0]}", "192.0.2.1")
    assert wrong.name == "address 192.0.2.1"
    with pytest.raises(Unauthorized) as refused:
        access.reject_invalid_key(wrong)
    assert refused.value.presented


def test_a_key_opens_what_its_scopes_name(make_app, app, key):
    access = services_of(app).access_policy
    keyed, stranger = access.identify(f"Bearer {key}", "a"), access.identify(None, "a")
    access.check_scope(keyed, "books:write")
    access.check_scope(stranger, "books:write")
    with pytest.raises(Forbidden):
        access.check_scope(keyed, "reviews:write")
    with pytest.raises(Unauthorized):
        access.check_scope(access.identify("Bearer x", "a"), "books:write")


def test_where_keys_are_required_strangers_neither_write_nor_see_the_schema(
    make_app, sqlite_database
):
    access = services_of(make_app(sqlite_database, require_api_key=True)).access_policy
    stranger = access.identify(None, "a")
    access.reject_invalid_key(stranger)
    assert not access.may_introspect(stranger)
    for check in (access.require_key, lambda client: access.check_scope(client, "books:write")):
        with pytest.raises(Unauthorized) as refused:
            check(stranger)
        assert not refused.value.presented


def test_reads_and_writes_are_counted_apart_and_told(make_app, sqlite_database):
    limits = {"rate_limit_read": Rate(1, 3_600), "rate_limit_write": Rate(1, 3_600)}
    access = services_of(make_app(sqlite_database, web_concurrency=1, **limits)).access_policy
    client, told = access.identify(None, "a"), []
    access.count_read(client, told.append)
    access.count_write(client)
    with pytest.raises(TooManyRequests):
        access.count_read(client, told.append)
    assert [headers[0][1].partition(";t=")[0] for headers in told] == ['"read";r=0', '"read";r=0']
    with pytest.raises(TooManyRequests):
        access.count_write(client)
    access.count_read(access.identify(None, "b"))


def test_without_a_database_a_key_cannot_be_judged(make_app):
    access = services_of(make_app("postgresql://u@127.0.0.1:1/none")).access_policy
    with pytest.raises(Unavailable):
        access.identify(f"Bearer {new_token()[0]}", "a")
