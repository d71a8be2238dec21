"""The search for books by parts of titles and authors, and the filters beside it."""

import pytest
from sqlalchemy import event, insert, text

from app.api import scanning
from app.db.engine import autocommit_engine
from app.extensions import db
from bookreview.models import Book, derive

TITLES = {
    "Lamp": "Ann LEE",
    "Table LAMP": "Lamp",
    'ÄPFEL 6" 100%': "Bo",
    "Straße_12": "Ann Lee",
    "日本語の本": "Bo",
    "back\\slash / it's": "Bo",
    "No\u00a0break hy\u00adphen": "Bo",
    "\u03a4\u03b1\u0390\u03b6\u03c9": "Bo",
}
LAMPS = ["Lamp", "Table LAMP"]
LEES = ["Lamp", "Straße_12"]


def find(client, **query):
    response = client.get("/books", query_string=query)
    assert response.status_code == 200, response.json
    return [item["title"] for item in response.json["items"]]


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("LAMP", LAMPS),
        ("able la", ["Table LAMP"]),
        ("äpfel", ['ÄPFEL 6" 100%']),
        ("apfel", []),
        ("STRAßE", ["Straße_12"]),
        ("日本語", ["日本語の本"]),
        ("本", ["日本語の本"]),
        ("la", ["Lamp", "Table LAMP", "back\\slash / it's"]),
        ("%", ['ÄPFEL 6" 100%']),
        ("_", ["Straße_12"]),
        ("\\", ["back\\slash / it's"]),
        ("100%", ['ÄPFEL 6" 100%']),
        ("ße_12", ["Straße_12"]),
        ('6" 100', ['ÄPFEL 6" 100%']),
        ("back\\slash", ["back\\slash / it's"]),
        ("lamp OR apfel", []),
        ('"lamp"', []),
        ("lam*", []),
        ("no break", ["No\u00a0break hy\u00adphen"]),
        ("y\u200bp", ["No\u00a0break hy\u00adphen"]),
        ("\u03a4\u0391\u0399\u0308\u0301\u0396\u03a9", ["\u03a4\u03b1\u0390\u03b6\u03c9"]),
        ("lee", LEES),
        ("lamp lee", []),
        ("lampann", []),
    ],
)
def test_any_part_of_a_title_or_author_is_found_and_every_character_is_literal(
    client, book, part, found
):
    for title, author in TITLES.items():
        book(title=title, author=author)
    assert find(client, q=part) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"author": "lee"}, LEES),
        ({"author": "lamp"}, ["Table LAMP"]),
        ({"author": "nn l"}, LEES),
        ({"author": "straße"}, []),
        ({"author": "n"}, LEES),
        ({"q": "lamp", "author": "lee"}, ["Lamp"]),
        ({"q": "la", "author": "lee"}, ["Lamp"]),
        ({"q": "lamp", "author": "n"}, ["Lamp"]),
        ({"q": "l", "author": "e"}, LEES),
    ],
)
def test_the_author_is_searched_apart_from_the_title(client, book, query, found):
    for title, author in TITLES.items():
        book(title=title, author=author)
    assert find(client, **query) == found


def test_a_changed_title_is_found_and_the_old_one_is_not(client, book):
    emma = book(title="Emma Woodhouse")
    book(title="Emma")
    assert client.patch(f"/books/{emma}", json={"title": "Persuasion"}).status_code == 200
    assert find(client, q="emma") == ["Emma"]
    assert find(client, q="woodhouse") == []
    assert find(client, q="suasio") == ["Persuasion"]
    assert client.delete(f"/books/{emma}").status_code == 204
    assert find(client, q="suasio") == []


def test_the_filters_select_by_ratings_and_years(client, book, review):
    for title, year, ratings in (
        ("Emma", 1815, [5, 4]),
        ("Dune", 1965, [4]),
        ("Iliad", -750, []),
        ("Poems", None, [1]),
    ):
        book_id = book(title=title, published_year=year)
        for rating in ratings:
            review(book_id, rating=rating)
    assert find(client, min_rating="4") == ["Emma", "Dune"]
    assert find(client, min_rating="4.5") == ["Emma"]
    assert find(client, min_rating="4.51") == []
    assert find(client, year_from="-750", year_to="1815") == ["Emma", "Iliad"]
    assert find(client, year_from="1900", sort="-published_year") == ["Dune"]
    assert find(client, year_to="1965", min_rating="4.0", q="e", sort="title") == ["Dune", "Emma"]
    assert find(client, sort="-average_rating") == ["Emma", "Dune", "Poems", "Iliad"]
    assert find(client, sort="published_year") == ["Iliad", "Emma", "Dune", "Poems"]
    assert find(client, sort="-published_year") == ["Dune", "Emma", "Iliad", "Poems"]
    assert find(client, sort="-review_count") == ["Emma", "Poems", "Dune", "Iliad"]
    page = client.get("/books?min_rating=4&sort=average_rating&limit=1&include_total=true").json
    assert (page["items"][0]["title"], page["total"]) == ("Dune", 2)
    later = (
        f"/books?min_rating=4&sort=average_rating&include_total=true&cursor={page['next_cursor']}"
    )
    assert client.get(later).json["total"] == 2


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("/books?sort=isbn", "/sort"),
        ("/books?sort=%2Btitle", "/sort"),
        ("/books?min_rating=0.99", "/min_rating"),
        ("/books?min_rating=5.01", "/min_rating"),
        ("/books?min_rating=4.555", "/min_rating"),
        ("/books?min_rating=4e0", "/min_rating"),
        ("/books?min_rating=nan", "/min_rating"),
        ("/books?min_rating=%D9%A4", "/min_rating"),
        ("/books?year_from=2101", "/year_from"),
        ("/books?year_to=18.5", "/year_to"),
        ("/books?year_from=1900&year_to=1899", "/year_to"),
        ("/books?q=la&include_total=true", "/include_total"),
        ("/books?author=a&q=b&include_total=true", "/include_total"),
        ("/books/1/reviews?sort=rating", "/sort"),
        ("/books/1/reviews?rating=6", "/rating"),
        ("/books/1/reviews?min_rating=4.5", "/min_rating"),
        ("/books/1/reviews?min_rating=0", "/min_rating"),
    ],
)
def test_an_invalid_query_is_rejected(client, path, pointer):
    response = client.get(path)
    assert response.status_code == 422
    assert response.json["errors"][0]["pointer"] == pointer


def test_a_short_text_is_counted_where_an_index_finds_the_book(client, book):
    book(title="Emma", isbn="9780141439587")
    response = client.get("/books?q=em&isbn=9780141439587&include_total=true")
    assert response.json["total"] == 1


@pytest.mark.parametrize("other", ["sort=title", "sort=-title&q=lamp", "", "sort=-title&year_to=9"])
def test_a_cursor_belongs_to_its_order_and_filters(client, book, other):
    for _ in range(3):
        book(title="Lamp")
    cursor = client.get("/books?sort=-title&limit=1").json["next_cursor"]
    assert client.get(f"/books?{other}&limit=1&cursor={cursor}").status_code == 400
    assert client.get(f"/books?limit=2&sort=-title&cursor={cursor}").status_code == 200


@pytest.mark.parametrize("sort", ["id", "-title", "published_year", "-average_rating"])
def test_the_pages_of_a_short_text_scan_bounded_rows(client, app, book, monkeypatch, sort):
    monkeypatch.setattr(scanning, "MAX_SCANNED_ROWS", 7)
    expected = {
        book(title=f"Lamp {n % 5}", published_year=None if n % 3 else 1900 + n) for n in range(20)
    }
    for number in range(30):
        book(title=f"Chair {number}", published_year=number if number % 3 else None)
    found, cursor, pages = [], "", 0
    while cursor is not None:
        more = f"&cursor={cursor}" if cursor else ""
        page = client.get(f"/books?q=la&sort={sort}&limit=6{more}").json
        assert len(page["items"]) <= 6
        found += [item["id"] for item in page["items"]]
        cursor, pages = page["next_cursor"], pages + 1
    assert sorted(found) == sorted(expected)
    assert pages >= 8


INDEXES = {"sqlite": "book_part", "postgresql": "ix_book_part"}


@pytest.mark.parametrize(
    "query", ["q=needle", "author=needle", "q=needle&author=xy", "q=needle&sort=-published_year"]
)
def test_a_search_uses_the_trigram_index(app, client, query):
    with app.app_context():
        rows = [
            {"title": f"Book {n}", "author": "A", "version": 1, **derive(f"Book {n}", "A")}
            for n in range(20_000)
        ]
        for first in range(0, len(rows), 5_000):  # in parts, within the time limit of a statement
            db.session.execute(insert(Book), rows[first : first + 5_000])
            db.session.commit()
        with db.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            dialect = connection.dialect.name
            connection.execute(text("ANALYZE" if dialect == "sqlite" else "VACUUM ANALYZE book"))
    plans = plans_of(app, lambda: client.get(f"/books?{query}"))
    assert INDEXES[dialect] in plans
    assert "Seq Scan" not in plans
    assert "SCAN book\n" not in plans


def plans_of(app, act):
    """Return the plans of the statements about books that ``act`` executes, as one text."""
    executed = []

    def record(_c, _cursor, statement, parameters, *_):
        if "FROM book" in statement:
            executed.append((statement, parameters))

    with app.app_context():
        engine = autocommit_engine()
    event.listen(engine, "before_cursor_execute", record)
    assert act().status_code == 200
    event.remove(engine, "before_cursor_execute", record)
    explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
    with engine.connect() as connection:
        plans = [
            connection.exec_driver_sql(explain + statement, parameters).all()
            for statement, parameters in executed
        ]
    assert plans
    return "\n".join(str(row[-1]) for plan in plans for row in plan) + "\n"
