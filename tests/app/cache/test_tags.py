"""Cache keys: which requests, databases and releases share a response."""

import pytest
from flask import Flask

from app.cache import tags
from app.cache.tags import ALL, MAX_TAGS, code_fingerprint, collapse_tags, source_files
from app.config import Settings
from tests.app.cache.steps import BOOK, HIT, ROOT, STORED, cache_status
from tests.waiting import patient

SETTINGS = Settings(database_url="sqlite://", secret_key="any")


def test_pages_filters_and_encodings_are_stored_separately(client, book):
    for number in range(30):
        book(title=f"A title that is long enough to be worth compressing, part {number}")
    paths = ("/books", "/books?limit=1", "/books?q=part%2017", "/books?include_total=true")
    assert {cache_status(client, path) for path in paths} == {STORED}
    zipped = client.get("/books", headers={"Accept-Encoding": "gzip"})
    assert zipped.headers["Cache-Status"] == STORED
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert {cache_status(client, path) for path in paths} == {HIT}
    assert "Content-Encoding" not in client.get("/books").headers


def test_the_order_of_the_query_does_not_matter(client):
    assert cache_status(client, "/books?limit=5&include_total=true") == STORED
    assert cache_status(client, "/books?include_total=true&limit=5") == HIT


def test_head_and_get_share_a_response(client):
    head = client.head("/books")
    got = client.get("/books")
    assert head.headers["Cache-Status"] == STORED
    assert got.headers["Cache-Status"] == HIT
    assert (head.headers["ETag"], head.data) == (got.headers["ETag"], b"")


def test_options_neither_fills_the_cache_nor_is_served_from_it(client):
    assert "GET" in client.options("/books").headers["Allow"]
    assert client.get("/books").json["items"] == []
    assert "GET" in client.options("/books").headers["Allow"]
    assert client.get("/books").headers["Cache-Status"] == HIT


def test_two_databases_on_one_redis_do_not_share_responses(
    server, make_app, sqlite_database, postgres_database
):
    url = patient(server.url)
    first = make_app(sqlite_database, redis_url=url).test_client()
    other = make_app(postgres_database, redis_url=url).test_client()
    assert first.post("/books", json=BOOK).status_code == 201
    assert [len(c.get("/books").json["items"]) for c in (first, other)] == [1, 0]


def test_services_with_different_secrets_do_not_share_entries(server, database, make_app, book):
    """Each would reject the cursors of the other."""
    url = patient(server.url)
    first = make_app(database, redis_url=url).test_client()
    other = make_app(database, redis_url=url, secret_key="another secret").test_client()
    assert [cache_status(first), cache_status(other)] == [STORED, STORED]


def test_more_than_the_maximum_of_tags_collapse_into_one():
    assert collapse_tags(["b", "a", "b"]) == ["a", "b"]
    assert len(collapse_tags(map(str, range(MAX_TAGS)))) == MAX_TAGS
    assert collapse_tags(map(str, range(MAX_TAGS + 1))) == [ALL]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An application package with subfolders; its folder is on the path."""
    root = tmp_path / "shop_of_this_test"
    (root / "inner" / "deep").mkdir(parents=True)
    for folder in (root, root / "inner", root / "inner" / "deep"):
        (folder / "__init__.py").touch()
        (folder / "module.py").write_text("a = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return root


@pytest.mark.parametrize("path", ["module.py", "inner/module.py", "inner/deep/module.py"])
def test_a_change_in_any_folder_changes_the_fingerprint(package, path):
    app = Flask(package.name)
    before = code_fingerprint(app, SETTINGS)
    assert code_fingerprint(app, SETTINGS) == before
    (package / path).write_text("a = 2\n")
    assert code_fingerprint(app, SETTINGS) != before


def test_a_new_module_changes_the_fingerprint(package):
    app = Flask(package.name)
    before = code_fingerprint(app, SETTINGS)
    (package / "inner" / "new.py").write_text("b = 1\n")
    assert code_fingerprint(app, SETTINGS) != before


def test_the_fingerprint_covers_the_package_of_every_blueprint(worker, monkeypatch):
    """Also of one that is added later: the list is that of the registered blueprints."""
    read = []
    monkeypatch.setattr(tags, "source_files", lambda name: read.append(name) or [])
    code_fingerprint(worker, SETTINGS)
    assert read == ["app", "bookreview", "inventory"]


@pytest.mark.parametrize("package_name", ["app", "bookreview", "inventory"])
def test_every_module_of_a_package_counts(package_name):
    assert source_files(package_name) == sorted((ROOT / package_name).rglob("*.py"))
