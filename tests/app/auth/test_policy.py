"""The access policy, called without an HTTP request."""

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


def test_a_client_is_a_key_or_else_an_address(app, key):
    policy = services_of(app).access_policy
    assert policy.identify(f"Bearer {key}", "192.0.2.1").name == f"key {key[4:16]}"
    assert policy.identify(None, "192.0.2.1").name == "address 192.0.2.1"
    invalid = policy.identify(f"Bearer {new_token()[0]}", "192.0.2.1")
    assert invalid.name == "address 192.0.2.1"
    with pytest.raises(Unauthorized) as error:
        policy.reject_invalid_key(invalid)
    assert error.value.presented


def test_a_key_allows_the_writes_of_its_scopes(make_app, app, key):
    policy = services_of(app).access_policy
    keyed, keyless = policy.identify(f"Bearer {key}", "a"), policy.identify(None, "a")
    policy.check_scope(keyed, "books:write")
    policy.check_scope(keyless, "books:write")
    with pytest.raises(Forbidden):
        policy.check_scope(keyed, "reviews:write")
    with pytest.raises(Unauthorized):
        policy.check_scope(policy.identify("Bearer x", "a"), "books:write")


def test_if_keys_are_required_other_clients_may_neither_write_nor_introspect(
    make_app, sqlite_database
):
    policy = services_of(make_app(sqlite_database, require_api_key=True)).access_policy
    keyless = policy.identify(None, "a")
    policy.reject_invalid_key(keyless)
    assert not policy.may_introspect(keyless)
    for check in (policy.require_key, lambda client: policy.check_scope(client, "books:write")):
        with pytest.raises(Unauthorized) as error:
            check(keyless)
        assert not error.value.presented


def test_reads_and_writes_have_separate_limits_and_headers(make_app, sqlite_database):
    limits = {"rate_limit_read": Rate(1, 3_600), "rate_limit_write": Rate(1, 3_600)}
    policy = services_of(make_app(sqlite_database, web_concurrency=1, **limits)).access_policy
    client, received = policy.identify(None, "a"), []
    policy.count_read(client, received.append)
    policy.count_write(client)
    with pytest.raises(TooManyRequests):
        policy.count_read(client, received.append)
    assert [headers[0][1].partition(";t=")[0] for headers in received] == [
        '"read";r=0',
        '"read";r=0',
    ]
    with pytest.raises(TooManyRequests):
        policy.count_write(client)
    policy.count_read(policy.identify(None, "b"))


def test_without_a_database_a_key_is_an_unavailable_error(make_app):
    policy = services_of(make_app("postgresql://u@127.0.0.1:1/none")).access_policy
    with pytest.raises(Unavailable):
        policy.identify(f"Bearer {new_token()[0]}", "a")
