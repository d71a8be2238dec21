"""DATABASE_URL with several hosts: the primary is found, while one hangs and after a failover."""

import socket
import time
from contextlib import closing

import pytest
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from app.config import InvalidSetting, from_env, usable_database_url
from app.db import hosts, timeouts
from app.db.hosts import refuse_read_only_hosts
from app.db.timeouts import CONNECT_TIMEOUT, install_wait_timeout
from app.services import services_of
from app.webhooks.election import AdvisoryLock
from stack.servers import Postgres, Standby
from tests import databases
from tests.waiting import PATIENCE, shortest, wait_until

BOOK = {"title": "Emma", "author": "Jane Austen"}
READ_ONLY = "ALTER SYSTEM SET default_transaction_read_only = on"


@pytest.fixture(scope="module")
def primary():
    with Postgres() as server:
        yield server


def url_of(primary, *ports):
    addresses = "&".join(f"host=127.0.0.1:{port}" for port in ports)
    account = f"postgresql://postgres:{primary.password}"
    return usable_database_url(f"{account}@/postgres?{addresses}&target_session_attrs=read-write")


@pytest.fixture
def patience(monkeypatch):
    """Wait longer for each host, as a busy machine may delay a connection by seconds."""
    monkeypatch.setattr(hosts, "MIN_SECONDS", PATIENCE)
    monkeypatch.setattr(timeouts, "CONNECT_TIMEOUT", PATIENCE)


def port_of(url):
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        return connection.execute(text("SHOW port")).scalar_one()


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("a:1,b:2/shop?target_session_attrs=read-write", "host=a:1&host=b:2"),
        ("/shop?host=a:1&host=b:2&target_session_attrs=read-write", "host=a:1&host=b:2"),
        ("/shop?host=a,b&target_session_attrs=read-write", "host=a,b"),
    ],
)
def test_the_forms_of_several_hosts(given, used):
    settings = from_env({"DATABASE_URL": f"postgres://u:p@{given}", "SECRET_KEY": 40 * "k"})
    expected = f"postgresql+psycopg2://u:p@/shop?{used}&target_session_attrs=read-write"
    assert settings.database_url == expected


@pytest.mark.parametrize(
    "rest", ["a,b/shop", "/shop?host=a&host=b&target_session_attrs=any", "/shop?host=a:1,b:2"]
)
def test_hosts_of_which_a_standby_could_be_used_are_refused(rest):
    with pytest.raises(InvalidSetting, match=r"^bookstall: DATABASE_URL [^\n]*host[^\n]*$"):
        from_env({"DATABASE_URL": f"postgresql://u:p@{rest}", "SECRET_KEY": 40 * "k"})


def test_a_host_that_hangs_is_left_after_its_part_of_the_time_and_asked_last(primary):
    install_wait_timeout()
    limit = CONNECT_TIMEOUT / 2

    def connect(url):
        began = time.monotonic()
        try:
            assert port_of(url) == str(primary.port)
        except OperationalError:  # on a busy machine it may be the primary that is late
            return None
        return time.monotonic() - began

    with closing(socket.create_server(("127.0.0.1", 0))) as hanging:
        url = url_of(primary, hanging.getsockname()[1], primary.port)
        assert wait_until(lambda: connect(url)) >= limit
        assert shortest(lambda: wait_until(lambda: connect(url)), limit) < limit


def test_if_no_host_is_the_primary_the_error_names_each(primary):
    with pytest.raises(OperationalError) as failure:
        port_of(url_of(primary, 1, 2))
    assert "127.0.0.1:1: " in str(failure.value)
    assert "127.0.0.1:2: " in str(failure.value)


def test_a_host_that_failed_is_tried_last_for_its_own_url_only(primary, patience):
    assert port_of(url_of(primary, 1, primary.port)) == str(primary.port)
    with pytest.raises(OperationalError) as failure:
        port_of(url_of(primary, 3, 4))
    tried = str(failure.value)
    assert tried.index("127.0.0.1:3: ") < tried.index("127.0.0.1:4: ")


def test_a_connection_that_was_closed_is_replaced(primary, patience):
    engine = create_engine(url_of(primary, primary.port, 1))
    refuse_read_only_hosts(engine)
    with engine.connect() as connection:
        kept = connection.connection.dbapi_connection
    kept.close()
    with engine.connect() as connection:
        assert connection.execute(text("SHOW port")).scalar_one() == str(primary.port)
    engine.dispose()


def test_the_service_goes_on_with_a_promoted_standby(primary, patience, make_app):
    with Standby(primary) as standby:
        url = url_of(primary, standby.port, primary.port)
        databases.migrate(url)  # the standby is not used, though it comes first
        app = make_app(url, feed_days=7)
        client = app.test_client()
        assert client.post("/books", json=BOOK).status_code == 201
        wait_until(standby.has_replayed_all)

        primary.execute(READ_ONLY)
        primary.execute("SELECT pg_reload_conf()")
        wait_until(lambda: primary.execute("SHOW default_transaction_read_only") == "on")
        refused = client.post("/books", json=BOOK)
        assert refused.status_code == 503
        standby.promote()
        wait_until(lambda: client.post("/books", json=BOOK).status_code == 201)
        assert {book["id"] for book in client.get("/books").json["items"]} >= {1}
        assert served_by(app) == str(standby.port)
        assert client.get("/books/export").data.count(b"Emma") == 2
        lock = AdvisoryLock(url)
        assert lock.acquire()
        lock.release()

        primary.execute("ALTER SYSTEM RESET default_transaction_read_only")
        primary.execute("SELECT pg_reload_conf()")
        standby.kill()
        wait_until(lambda: client.get("/books").status_code == 200)
        assert served_by(app) == str(primary.port)


def served_by(app):
    with services_of(app).autocommit_engine.connect() as connection:
        return connection.execute(text("SHOW port")).scalar_one()
