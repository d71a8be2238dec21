import pytest
from sqlalchemy import text

from app.db.migrations import Migrations
from app.extensions import db


def test_healthz_responds(client):
    response = client.get("/healthz")
    assert (response.status_code, response.json) == (200, {"status": "ok"})
    assert response.headers["Cache-Control"] == "no-store"


def test_readyz_without_redis(client):
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json == {
        "status": "ok",
        "checks": {"database": "ok", "migrations": "ok", "cache": "none"},
    }


def test_readyz_with_redis(make_app, database, redis_url):
    response = make_app(database, redis_url=redis_url).test_client().get("/readyz")
    assert response.status_code == 200
    assert response.json["checks"]["cache"] == "ok"


def test_an_unavailable_cache_only_degrades_the_service(make_app, sqlite_database):
    client = make_app(sqlite_database, redis_url="redis://127.0.0.1:1/0").test_client()
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json["status"] == "degraded"
    assert response.json["checks"]["cache"] == "unavailable"


@pytest.fixture(params=["sqlite_database", "postgres_copy"])
def own_database(request):
    """A database whose tables the test may change."""
    return request.getfixturevalue(request.param)


def test_a_database_that_a_newer_release_has_migrated_is_ready(make_app, own_database):
    app = make_app(own_database)
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    response = app.test_client().get("/readyz")
    assert response.status_code == 200
    assert response.json["checks"]["migrations"] == "ok"


@pytest.mark.parametrize(
    ("applied", "ready"),
    [
        (set(), False),
        ({"1"}, False),
        ({"2a"}, False),
        ({"2a", "2b"}, True),
        ({"2a", "2b", "9"}, True),
        ({"9"}, True),
    ],
)
def test_with_several_heads_each_must_be_applied(applied, ready):
    migrations = Migrations(frozenset({"2a", "2b"}), frozenset({"1", "2a", "2b"}))
    assert migrations.are_applied(applied) is ready


@pytest.mark.parametrize(
    "state",
    [
        "UPDATE alembic_version SET version_num = '0001'",
        "DELETE FROM alembic_version",
        "DROP TABLE alembic_version",
    ],
)
def test_a_database_that_is_not_at_the_newest_migration_is_not_ready(make_app, own_database, state):
    app = make_app(own_database)
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text(state))
    response = app.test_client().get("/readyz")
    assert response.status_code == 503
    assert response.json["status"] == "unavailable"
    assert response.json["checks"]["migrations"] == "not at head"
    assert int(response.headers["Retry-After"]) > 0


def test_without_a_database_the_service_is_live_but_not_ready(make_app):
    client = make_app("postgresql://u@127.0.0.1:1/none").test_client()
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json["checks"]["database"] == "unavailable"
    assert client.get("/healthz").status_code == 200


def test_metrics_count_requests_per_route_not_per_path(client, book):
    emma = book()
    before = request_count(client, method="GET", route="/books/<id:book_id>", status="200")
    client.get(f"/books/{emma}")
    client.get(f"/books/{emma}")
    after = request_count(client, method="GET", route="/books/<id:book_id>", status="200")
    assert after - before == 2
    assert f'"/books/{emma}"' not in client.get("/metrics").text


def test_clients_cannot_choose_the_labels_of_metrics(client):
    client.get("/nonsense-path")
    client.open("/books", method="NONSENSE")
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.mimetype == "text/plain"
    assert "nonsense" not in response.text.lower()
    assert 'route="unmatched"' in response.text


def request_count(client, **labels):
    lines = client.get("/metrics").text.splitlines()
    wanted = [f'{name}="{value}"' for name, value in labels.items()]
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith("bookstall_requests_total{") and all(w in line for w in wanted)
    )


@pytest.fixture
def guarded(make_app, sqlite_database):
    return make_app(sqlite_database, metrics_token="not-to-be-guessed").test_client()


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_metrics_are_returned_to_who_sends_the_token(guarded, scheme):
    response = guarded.get("/metrics", headers={"Authorization": f"{scheme} not-to-be-guessed"})
    assert response.status_code == 200
    assert b"bookstall_requests_total" in response.data


@pytest.mark.parametrize(
    "sent",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer not-to-be-guesse",
        "Bearer not-to-be-guessed2",
        "Bearer NOT-TO-BE-GUESSED",
        "Basic not-to-be-guessed",
        "not-to-be-guessed",
        "Bearer \xff",
        "Bearer not-to-be-guessed,Bearer not-to-be-guessed",
    ],
)
def test_metrics_without_the_token_are_a_401(guarded, sent):
    headers = {} if sent is None else {"Authorization": sent}
    response = guarded.get("/metrics", headers=headers)
    assert (response.status_code, response.mimetype) == (401, "application/problem+json")
    assert response.headers["WWW-Authenticate"].startswith('Bearer realm="bookstall"')
    assert b"bookstall_" not in response.data
    assert guarded.get("/healthz", headers=headers).status_code == 200


def test_metrics_are_open_without_a_token(client):
    headers = {"Authorization": "Bearer of another service"}
    assert client.get("/metrics", headers=headers).status_code == 200
