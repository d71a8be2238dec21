"""Loads of reviews: the sums of books stay right, also after interruptions and other writes."""

import csv
import fcntl
import os
import secrets
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import text

from app.extensions import db
from tests.app.loading.csv_load import Load, load_command, map_options, reasons
from tests.waiting import PATIENCE, served, wait_until

DATA = Path(__file__).parent.parent / "data"
HEAD = "book_id,rating,reviewer,text,source_id\n"
ROWS = 5_000
UNKNOWN = {"23", "285"}
"""The books of ratings.csv that are missing in books.csv."""
SUMS = """
    SELECT b.id, review_count, rating_sum, stars_1, stars_2, stars_3, stars_4, stars_5,
        count(r.id), coalesce(sum(r.rating), 0), count(CASE r.rating WHEN 1 THEN 1 END),
        count(CASE r.rating WHEN 2 THEN 1 END), count(CASE r.rating WHEN 3 THEN 1 END),
        count(CASE r.rating WHEN 4 THEN 1 END), count(CASE r.rating WHEN 5 THEN 1 END)
    FROM book b LEFT JOIN review r ON r.book_id = b.id AND NOT r.hidden
    GROUP BY b.id ORDER BY b.id
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "reviews.csv"


@pytest.fixture
def load(app: Flask, path: Path) -> Load:
    """A factory of loads of a file of reviews with the given content."""
    return load_command(app, "reviews", path)


def sums(app: Flask) -> dict[int, tuple[int, int]]:
    """Return count and sum of each book; check that they match its reviews."""
    with app.app_context():
        found = db.session.execute(text(SUMS)).all()
    assert all(row[1:8] == row[8:] for row in found), found
    return {row.id: (row.review_count, row.rating_sum) for row in found}


def test_real_ratings_set_count_and_average_of_every_book(app, client, load, path):
    books = ["books", "load", str(DATA / "books.csv"), "--rejects", str(path), "--key", "source_id"]
    options = map_options("author=authors", "source_id=book_id", "isbn=isbn13_derived")
    app.test_cli_runner().invoke(args=[*books, *options])
    content = (DATA / "ratings.csv").read_bytes()
    options = map_options("book_source_id=book_id", "reviewer=user_id", "text=rating_text")
    first, second = load(content, *options), load(content, *options)
    assert first.stdout == "loaded 90, updated 0, unchanged 2, rejected 2\n", first.output
    assert second.stdout == "loaded 0, updated 0, unchanged 92, rejected 2\n"
    assert set(reasons(path)) == {f"book_source_id: there is no book {n}" for n in UNKNOWN}
    with app.app_context():
        ids = dict(map(tuple, db.session.execute(text("SELECT source_id, id FROM book"))))
    with (DATA / "ratings.csv").open(newline="") as file:
        rows = {tuple(row.values()) for row in csv.DictReader(file) if row["book_id"] in ids}
    counts = Counter(row[1] for row in rows)
    for source_id, count in counts.items():
        shown = client.get(f"/books/{ids[source_id]}").json
        total = sum(int(row[2]) for row in rows if row[1] == source_id)
        assert shown["review_count"] == count
        assert shown["average_rating"] == pytest.approx(total / count, abs=0.005)
    assert sum(count for count, _ in sums(app).values()) == 90


def test_a_load_changes_a_hidden_review_without_counting_or_showing_it(app, client, load, book):
    first, second = book(), book()
    load(f"{HEAD}{first},2,Ana,Good.,r1\n{first},4,Ben,Fine.,r2\n")
    client.patch("/reviews/1", json={"hidden": True})
    etag = client.get(f"/books/{first}").headers["ETag"]
    assert load(f"{HEAD}{first},5,Ana,Better.,r1\n").stdout.startswith("loaded 0, updated 1")
    assert client.get(f"/books/{first}").headers["ETag"] == etag
    load(f"{HEAD}{second},5,Ana,Better.,r1\n")  # of the other book
    assert sums(app) == {first: (1, 4), second: (0, 0)}
    shown = client.patch("/reviews/1", json={"hidden": False})
    assert (shown.json["book_id"], shown.headers["ETag"]) == (second, '"5"')
    assert sums(app) == {first: (1, 4), second: (1, 5)}


def test_a_changed_review_changes_the_average(app, client, load, book):
    book(), book(title="Persuasion")
    load(HEAD + "1,5,Ana,Good.,r1\n1,3,Ben,So so.,r2\n")
    result = load(HEAD + "1,2,Ana,Not so good.,r1\n2,3,Ben,So so.,r2\n")
    assert result.stdout == "loaded 0, updated 2, unchanged 0, rejected 0\n"
    assert sums(app) == {1: (1, 2), 2: (1, 3)}
    assert client.get("/books/1/reviews").json["items"][0]["text"] == "Not so good."


def test_a_rejected_review_is_not_counted(app, load, path, book):
    book()
    result = load(HEAD + "1,6,Ana,x,r1\n1,4.5,Ana,x,r2\n1,5.0,Ana,x,r3\n1,4,Ana,,r4\n1,4,Ana,x,\n")
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 4\n"
    assert reasons(path)[-1] == "no source_id, which is the key; choose another with --key"
    assert sums(app) == {1: (1, 5)}


@pytest.mark.parametrize(
    ("name", "value"), [("book_id", "1"), ("isbn", "141439580"), ("book_source_id", "austen")]
)
def test_a_review_can_identify_its_book_by_any_key(app, load, path, name, value):
    path.write_text("title,author,isbn,source_id\nEmma,Jane Austen,0141439580,austen\n")
    app.test_cli_runner().invoke(args=["books", "load", str(path)])
    result = load(f"{name},rating,reviewer,text\n{value},5,Ana,x\n,5,Ana,y\n")
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 1\n", result.output
    assert (sums(app), reasons(path)) == ({1: (1, 5)}, [f"{name}: blank"])


@pytest.mark.parametrize("names", ["", "book_id,isbn,"])
def test_a_file_without_or_with_two_columns_for_the_book_is_rejected(load, names):
    result = load(f"{names}rating,reviewer,text\n")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "Exactly one column must identify the book" in result.stderr


@pytest.mark.parametrize("book_id", ["2", "99999999999", "x", "-1"])
def test_a_review_of_an_unknown_book_is_rejected(app, load, path, book, book_id):
    book()
    result = load(HEAD + f"{book_id},5,Ana,x,r1\n1,4,Ana,x,r2\n")
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 1\n"
    assert reasons(path)[0].startswith("book_id: ")
    assert sums(app) == {1: (1, 4)}


def test_without_source_ids_a_repeated_row_is_one_review(app, load, book):
    book()
    rows = "book_id,rating,reviewer,text\n1,5,Ana,x\n1,5, Ana ,x\n1,4,Ana,x\n"
    assert load(rows).stdout == "loaded 2, updated 0, unchanged 1, rejected 0\n"
    assert load(rows).stdout == "loaded 0, updated 0, unchanged 3, rejected 0\n"
    assert sums(app) == {1: (2, 9)}


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("2024-02-29T23:30:00-01:00", "2024-03-01T00:30:00Z"),
        ("2024-02-29 23:30:00z", "2024-02-29T23:30:00Z"),
        ("2024-02-29T23:30:00.25Z", "2024-02-29T23:30:00.250000Z"),
    ],
)
def test_a_review_keeps_its_time(client, load, book, written, shown):
    book()
    rows = f"book_id,rating,reviewer,text,created_at\n1,5,Ana,x,{written}\n"
    assert load(rows).exit_code == 0
    assert client.get("/books/1/reviews").json["items"][0]["created_at"] == shown
    assert load(rows).stdout == "loaded 0, updated 0, unchanged 1, rejected 0\n"


@pytest.mark.parametrize(
    "written",
    ["2024-02-30T00:00:00Z", "2024-02-29", "2024-02-29T10:00:00", "0001-01-01T00:00:00+14:00"],
)
def test_any_other_time_is_rejected(load, path, book, written):
    book()
    assert load(f"book_id,rating,reviewer,text,created_at\n1,5,Ana,x,{written}\n").exit_code == 1
    assert reasons(path)[0].startswith("created_at: Not an RFC 3339 time")


def test_a_load_invalidates_cached_responses(make_app, database, fresh_redis, path):
    # A key of the test's own, and so entries of its own: the database is used again.
    app = make_app(database, redis_url=fresh_redis, secret_key=secrets.token_hex())
    client = app.test_client()
    client.post("/books", json={"title": "Emma", "author": "Jane Austen"})
    for url in ("/books", "/books/1", "/books/1/reviews"):
        client.get(url)
        assert client.get(url).headers["Cache-Status"] == "bookstall; hit"
    path.write_text(HEAD + "1,5,Ana,x,r1\n")
    app.test_cli_runner().invoke(args=["reviews", "load", str(path)])
    assert client.get("/books").json["items"][0]["review_count"] == 1
    assert client.get("/books/1").json["average_rating"] == 5
    assert len(client.get("/books/1/reviews").json["items"]) == 1
    for hit in (False, True):
        response = client.get("/reviews/1")
        assert response.json["text"] == "x"
        assert (response.headers["Cache-Status"] == "bookstall; hit") == hit
    path.write_text(HEAD + "1,5,Ana,changed,r1\n")
    app.test_cli_runner().invoke(args=["reviews", "load", str(path)])
    assert client.get("/reviews/1").json["text"] == "changed"


def make_rows(books: int = 7) -> list[str]:
    """Return ROWS rows of reviews, with different ratings for each book."""
    return [f"{n % books + 1},{n % 5 + 1},Reader {n},Text {n},r{n}\n" for n in range(ROWS)]


def expected_sums(books: int = 7) -> dict[int, tuple[int, int]]:
    found = {n + 1: [0, 0] for n in range(books)}
    for n in range(ROWS):
        found[n % books + 1][0] += 1
        found[n % books + 1][1] += n % 5 + 1
    return {book_id: (count, total) for book_id, (count, total) in found.items()}


@pytest.fixture
def start_load(database: str) -> Callable[[Path], subprocess.Popen[str]]:
    """A factory of loads in separate processes."""
    started: list[subprocess.Popen[str]] = []

    def run(path: Path) -> subprocess.Popen[str]:
        options = [sys.executable, "-m", "flask", "--app", "wsgi", "reviews", "load", str(path)]
        env = {**os.environ, "DATABASE_URL": database, "SECRET_KEY": "a secret of the tests"}
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(options, env=env, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def wait_for_batch(app: Flask, process: subprocess.Popen[str]) -> None:
    def has_rows() -> bool:
        db.session.rollback()
        assert process.poll() is None, process.communicate()
        return bool(db.session.scalar(text("SELECT count(*) FROM review")))

    with app.app_context():
        wait_until(has_rows)


@pytest.mark.parametrize("sent_signal", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_load_leaves_whole_batches_and_can_be_run_again(
    app, start_load, path, book, sent_signal
):
    for _ in range(7):
        book()
    path.write_text(HEAD + "".join(make_rows()))
    pipe = path.with_name("pipe")
    os.mkfifo(pipe)
    # Opened for both directions, it never ends, and so the load does not end before the signal.
    with os.fdopen(os.open(pipe, os.O_RDWR), "w") as file:
        fcntl.fcntl(file, fcntl.F_SETPIPE_SZ, path.stat().st_size)
        file.write(path.read_text().removesuffix("\n"))
        file.flush()
        process = start_load(pipe)
        wait_for_batch(app, process)
        process.send_signal(sent_signal)
        out, err = process.communicate(timeout=PATIENCE)
    done = sum(count for count, _ in sums(app).values())
    assert done % 1_000 == 0
    assert 0 < done < ROWS
    if sent_signal == signal.SIGINT:
        assert process.returncode == 130
        assert out == f"loaded {done}, updated 0, unchanged 0, rejected 0\n"
        assert f"Interrupted after line {done + 1}." in err
    again = app.test_cli_runner().invoke(args=["reviews", "load", str(path)])
    assert again.stdout == f"loaded {ROWS - done}, updated 0, unchanged {done}, rejected 0\n"
    assert sums(app) == expected_sums()


def test_all_sums_are_right_after_two_loads_and_requests_at_the_same_time(
    app, client, start_load, path, book
):
    for _ in range(7):
        book()
    path.write_text(HEAD + "".join(make_rows()))
    reversed_path = path.with_name("reversed.csv")
    reversed_path.write_text(HEAD + "".join(reversed(make_rows())))
    loads = [start_load(path), start_load(reversed_path)]
    added = Counter[int]()
    words = {"rating": 1, "reviewer": "Ana", "text": "Read in one night."}
    while added.total() <= 10 or any(process.poll() is None for process in loads):
        book_id = added.total() % 7 + 1
        response = served(partial(client.post, f"/books/{book_id}/reviews", json=words))
        assert response.status_code == 201, response.json
        added[book_id] += 1
    outputs = [process.communicate() for process in loads]
    assert [process.returncode for process in loads] == [0, 0], outputs
    counts = [[int(part.split()[1]) for part in out.split(",")] for out, _ in outputs]
    assert [sum(numbers) for numbers in counts] == [ROWS, ROWS]
    assert sum(numbers[0] for numbers in counts) == ROWS
    expected = {n: (c + added[n], s + added[n]) for n, (c, s) in expected_sums().items()}
    assert sums(app) == expected
