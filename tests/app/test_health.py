import pytest
from sqlalchemy import text

from app.extensions import db


def test_alive_is_alive(client):
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})
    assert answer.headers["Cache-Control"] == "no-store"


def test_ready_without_redis(client):
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json == {
        "status": "ok",
        "checks": {"database": "ok", "migrations": "ok", "cache": "none"},
    }


def test_ready_with_redis(make_app, database, redis_url):
    answer = make_app(database, redis_url=redis_url).test_client().get("/readyz")
    assert answer.status_code == 200
    assert answer.json["checks"]["cache"] == "ok"


def test_a_cache_that_is_away_only_degrades(make_app, sqlite_database):
    client = make_app(sqlite_database, redis_url="redis://127.0.0.1:1/0").test_client()
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert (answer.json["status"], answer.json["checks"]["cache"]) == ("degraded", "away")


@pytest.fixture(params=["sqlite_database", "postgres_copy"])
def own_database(request):
    """A database whose tables the test may change."""
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize(
    "state",
    [
        "UPDATE alembic_version SET version_num = '0001'",
        "UPDATE alembic_version SET version_num = '9999'",
        "DELETE FROM alembic_version",
        "DROP TABLE alembic_version",
    ],
)
def test_a_database_in_another_state_of_migration_is_not_ready(make_app, own_database, state):
    app = make_app(own_database)
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text(state))
    answer = app.test_client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json["status"] == "unavailable"
    assert answer.json["checks"]["migrations"] == "not at head"
    assert int(answer.headers["Retry-After"]) > 0


def test_without_a_database_the_service_lives_and_is_not_ready(make_app):
    client = make_app("postgresql://u@127.0.0.1:1/none").test_client()
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json["checks"]["database"] == "away"
    assert client.get("/healthz").status_code == 200


def test_metrics_count_requests_by_route_and_not_by_path(client, book):
    emma = book()
    before = counted(client, method="GET", route="/books/<id:book_id>", status="200")
    client.get(f"/books/{emma}")
    client.get(f"/books/{emma}")
    after = counted(client, method="GET", route="/books/<id:book_id>", status="200")
    assert after - before == 2
    assert f'"/books/{emma}"' not in client.get("/metrics").text


def test_metrics_have_no_label_that_a_client_chooses(client):
    client.get("/nonsense-path")
    client.open("/books", method="NONSENSE")
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.mimetype == "text/plain"
    assert "nonsense" not in answer.text.lower()
    assert 'route="unmatched"' in answer.text


def counted(client, **labels):
    lines = client.get("/metrics").text.splitlines()
    wanted = [f'{name}="{value}"' for name, value in labels.items()]
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith("bookstall_requests_total{") and all(w in line for w in wanted)
    )
