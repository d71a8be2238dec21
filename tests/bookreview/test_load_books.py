"""Loads of books: keys, ISBNs and updates, and the sample of the first start."""

import csv
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from app import config
from app.commands import prepare as preparing
from app.extensions import db
from app.factory import create_app
from tests.app.loading.csv_load import Load, load_command, reasons

DATA = Path(__file__).parent.parent / "data" / "books.csv"
SAMPLE = Path(__file__).parent.parent.parent / "sample"
BY_SOURCE = (
    *("--map", "author=authors", "--map", "published_year=original_publication_year"),
    *("--map", "source_id=book_id", "--key", "source_id"),
)
HEAD = "title,author,isbn,published_year,source_id\n"
EMMA = "Emma,Jane Austen,9780141439587,1815,e1\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "books.csv"


@pytest.fixture
def load(app: Flask, path: Path) -> Load:
    """A factory of loads of a file of books with the given content."""
    return load_command(app, "books", path)


def test_real_books_are_loaded_as_the_source_describes_them(client, load):
    result = load(DATA.read_bytes(), *BY_SOURCE, "--map", "isbn=isbn13_derived")
    assert result.stdout == "loaded 33, updated 0, unchanged 0, rejected 0\n", result.output
    found = {book["title"]: book for book in client.get("/books?limit=100").json["items"]}
    assert found["The Iliad"]["published_year"] == -750
    assert found["The Princess Bride"]["isbn"] == "9780345418265"
    assert found["Lolita"]["isbn"] is None
    with DATA.open(newline="", encoding="utf-8") as file:
        isbns = {row["isbn13_derived"] or None for row in csv.DictReader(file)}
    assert {book["isbn"] for book in found.values()} <= isbns


def test_lost_leading_zeros_of_isbns_are_restored_if_the_check_digit_is_correct(client, load, path):
    with DATA.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    invalid = [row for row in rows if row["isbn"] and not row["isbn13_derived"]]
    result = load(DATA.read_bytes(), *BY_SOURCE)
    assert len(invalid) == 3
    assert (
        result.stdout
        == f"loaded {33 - len(invalid)}, updated 0, unchanged 0, rejected {len(invalid)}\n"
    )
    assert all(reason.startswith("isbn: Not an ISBN") for reason in reasons(path))
    shown = {book["isbn"] for book in client.get("/books?limit=100").json["items"]}
    assert shown == {row["isbn13_derived"] or None for row in rows if row not in invalid}


@pytest.mark.parametrize(
    "written",
    [
        *("439023483", "439023483.0", "0-439-02348-3", "9780439023481.0"),
        "\u200e978\u20110\u2013439\u00a002348\u22121",
    ],
)
def test_an_isbn_is_recognized_in_any_spelling(load, written):
    load("title,author,isbn\nThe Hunger Games,Suzanne Collins,0439023483\n")
    result = load(f"title,author,isbn\nThe Hunger Games,Suzanne Collins,{written}\n")
    assert result.stdout == "loaded 0, updated 0, unchanged 1, rejected 0\n"


@pytest.mark.parametrize("blank", ["\u3164", "\u2800", "\u200b\ufe0f"])
def test_a_title_that_nobody_can_see_is_rejected(load, path, blank):
    assert load(f"title,author,isbn\n{blank},B,9780141439587\n").exit_code == 1
    assert reasons(path) == ["title: Must not be blank."]


@pytest.mark.parametrize("written", ["439023484", "39023483", "9.78043902348e+12", "12345"])
def test_an_isbn_with_a_wrong_check_digit_is_rejected(load, path, written):
    assert load(f"title,author,isbn\nA,B,{written}\n").exit_code == 1
    assert reasons(path)[0].startswith("isbn: Not an ISBN")


@pytest.mark.parametrize(
    ("written", "year"), [("2008.0", 2008), ("-750.0", -750), ("2008.", 2008), (" 1815 ", 1815)]
)
def test_a_year_can_have_the_format_of_a_spreadsheet(client, load, written, year):
    load(f"title,author,isbn,published_year\nA,B,9780141439587,{written}\n")
    assert client.get("/books").json["items"][0]["published_year"] == year


@pytest.mark.parametrize("written", ["2008.5", "2.008E3", "9" * 30, "2101", "٢٠٠٨", "MMVIII"])
def test_any_other_year_is_rejected(load, path, written):
    assert load(f"title,author,isbn,published_year\nA,B,9780141439587,{written}\n").exit_code == 1
    assert reasons(path)[0].startswith("published_year: ")


def test_an_update_changes_differing_fields_and_the_search_finds_them(client, load):
    load(HEAD + EMMA)
    before = client.get("/books/1").json
    result = load("title,isbn,author\nEMMA: a novel,9780141439587,Jane Austen\n")
    assert result.stdout == "loaded 0, updated 1, unchanged 0, rejected 0\n"
    assert client.get("/books/1").json == {**before, "title": "EMMA: a novel"}
    assert [b["id"] for b in client.get("/books?q=a NOVEL").json["items"]] == [1]
    assert client.get("/books?author=austen&q=emma:").json["items"]


def test_a_blank_cell_changes_nothing(client, load):
    load(HEAD + EMMA)
    result = load(HEAD + "Emma,Jane Austen,,,e1\n", "--key", "source_id")
    assert result.stdout == "loaded 0, updated 0, unchanged 1, rejected 0\n"
    assert client.get("/books/1").json["published_year"] == 1815


def test_a_row_without_a_key_is_rejected_with_a_hint_at_other_keys(load, path):
    assert load(HEAD + "Emma,Jane Austen,,,e1\n").exit_code == 1
    assert reasons(path) == ["no isbn, which is the key; choose another with --key"]


def test_a_unique_value_of_another_book_rejects_only_its_row(client, load, path, book):
    book(title="Emma", isbn="9780141439587")
    rows = "Dracula,Bram Stoker,9780141439846,1897,d1\n" + EMMA + "Ficciones,Borges,,1944,f1\n"
    result = load(HEAD + rows, "--key", "source_id")
    assert result.stdout == "loaded 2, updated 0, unchanged 0, rejected 1\n"
    assert reasons(path) == ["isbn 9780141439587 is taken by another book"]


def test_two_new_rows_of_a_file_cannot_have_the_same_isbn(load, path):
    result = load(HEAD + EMMA + EMMA.replace("e1", "e2"), "--key", "source_id")
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 1\n"
    assert reasons(path) == ["isbn 9780141439587 is taken by another book"]


def test_a_unique_value_taken_after_the_lookup_rejects_only_its_row(load, path, book, monkeypatch):
    """The lookup finds nothing, as if the other book had been added right after it."""
    monkeypatch.setattr("app.loading.upsert._reject_taken", lambda *_: None)
    book(isbn="9780141439587")
    rows = [f"Book {n},Somebody,,,b{n}\n" for n in range(9)]
    result = load(HEAD + "".join([*rows[:5], EMMA, *rows[5:]]), "--key", "source_id")
    assert result.stdout == "loaded 9, updated 0, unchanged 0, rejected 1\n"
    assert reasons(path) == ["refused by the database"]


@pytest.mark.parametrize("between", [0, 1_500])
def test_a_duplicate_key_is_loaded_once(load, path, between):
    others = "".join(f"Book {n},Somebody,,,b{n}\n" for n in range(between))
    other = EMMA.replace("1815", "1816")
    result = load(HEAD + EMMA + others + EMMA + other, "--key", "source_id")
    assert result.stdout == f"loaded {1 + between}, updated 0, unchanged 1, rejected 1\n"
    assert reasons(path) == ["source_id e1 is already in line 2, with other values"]


def test_a_key_of_a_rejected_row_can_be_loaded_later(client, load):
    invalid = "Emma,Jane Austen,9780141439587,9999,e1\n"
    assert load(HEAD + invalid + EMMA).stdout.startswith("loaded 1,")
    assert client.get("/books/1").json["published_year"] == 1815


def test_the_whole_sample_is_loaded(app, tmp_path):
    runner = app.test_cli_runner()
    for name, count in (("books", 42), ("reviews", 127)):
        command = [name, "load", str(SAMPLE / f"{name}.csv"), "--key", "source_id"]
        result = runner.invoke(args=[*command, "--rejects", str(tmp_path / "rejects.csv")])
        assert result.stdout == f"loaded {count}, updated 0, unchanged 0, rejected 0\n"


def test_a_load_invalidates_cached_responses(make_app, database, fresh_redis, path):
    # A key of the test's own, and so entries of its own: the database is used again.
    app = make_app(database, redis_url=fresh_redis, secret_key=secrets.token_hex())
    client: FlaskClient = app.test_client()
    path.write_text(HEAD + EMMA)
    command = ["books", "load", str(path)]
    app.test_cli_runner().invoke(args=command)
    for url in ("/books", "/books/1"):
        client.get(url)
        assert client.get(url).headers["Cache-Status"] == "bookstall; hit"
    path.write_text(HEAD + EMMA.replace("Emma", "Emma again"))
    app.test_cli_runner().invoke(args=command)
    assert client.get("/books/1").json["title"] == "Emma again"
    assert client.get("/books").json["items"][0]["title"] == "Emma again"
    with app.app_context():
        assert db.session.scalar(text("SELECT count(*) FROM outbox")) == 0


@pytest.fixture
def make_default_app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], Flask]:
    """A factory of applications with the default database, in a temporary folder."""
    monkeypatch.setattr(config, "INSTANCE", tmp_path)
    monkeypatch.setattr(preparing, "INSTANCE", tmp_path)
    made: list[Flask] = []

    def make() -> Flask:
        settings = config.Settings(
            database_url=config.default_database_url(), secret_key="x" * 16, testing=True
        )
        made.append(create_app(settings))
        return made[-1]

    yield make
    for app in made:
        with app.app_context():
            db.engine.dispose()


def test_the_first_start_loads_the_sample_and_the_second_does_not(make_default_app):
    first = make_default_app().test_cli_runner().invoke(args=["prepare"])
    second = make_default_app().test_cli_runner().invoke(args=["prepare"])
    assert "sample reviews: loaded 127, updated 0, unchanged 0, rejected 0" in first.stdout
    assert "sample products: loaded 30, updated 0, unchanged 0, rejected 0" in first.stdout
    assert (first.exit_code, second.exit_code, second.stdout) == (0, 0, "")


def test_an_interrupted_load_of_the_sample_is_completed_by_the_next_start(
    make_default_app, monkeypatch
):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("bookreview.loads.count_ratings", interrupt)
        assert make_default_app().test_cli_runner().invoke(args=["prepare"]).exit_code != 0
    again = make_default_app().test_cli_runner().invoke(args=["prepare"])
    assert "sample books: loaded 0, updated 0, unchanged 42, rejected 0" in again.stdout
    assert "sample reviews: loaded 127, updated 0, unchanged 0, rejected 0" in again.stdout
