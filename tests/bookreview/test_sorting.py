"""Every order and filter of books and reviews: all pages together are the sorted list."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, update

from app.api import scanning
from app.api.pagination import PageRequest
from app.extensions import db
from bookreview import queries, search
from bookreview.models import RATINGS, Book, Review, derive

WRITES = 3
START = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
def in_context(app, monkeypatch):
    """The context of the application, in which a scan reads few rows."""
    monkeypatch.setattr(scanning, "MAX_SCANNED_ROWS", 3)
    with app.app_context():
        yield


def book_of(title, author, year, ratings):
    stars = {f"stars_{rating}": ratings.count(rating) for rating in RATINGS}
    words = {"title": title, "author": author, **derive(title, author)}
    counts = {"review_count": len(ratings), "rating_sum": sum(ratings), "version": 1}
    return {**words, "published_year": year, **counts, **stars}


# Those whose key a book may lack are tried most often.
SORTS = [*search.ORDERS, *2 * [sort for sort in search.ORDERS if search.ORDERS[sort].nullable]]
# Few values, so that many books have equal keys, and some none.
BOOKS = st.builds(
    book_of,
    st.sampled_from(["Emma", "emma", "Em", "\U0001f600 dune", "\uff5edune", "Dune\u00a0Emma"]),
    st.sampled_from(["Ann", "Bo Em", "bo em", "\u00c5se"]),
    st.sampled_from([None, None, -44, 1815, 1815, 1965]),
    st.sampled_from([(), (), (3,), (5, 5), (4, 5), (1, 2, 2), (2, 2, 1)]),
)
FILTERS = st.just({}) | st.fixed_dictionaries(
    {},
    optional={
        "q": st.sampled_from(["emma", "em", "e", "DUNE", "%"]),
        "author": st.sampled_from(["bo em", "o", "\u00e5se"]),
        "min_rating": st.sampled_from([1.0, 1.67, 3.0, 5.0]),
        "year_from": st.sampled_from([-44, 1815, 2000]),
        "year_to": st.sampled_from([-45, 1815]),
    },
)
WRITE = st.one_of(
    st.tuples(st.just("add"), BOOKS),
    st.tuples(st.just("change"), st.integers(0, 30), BOOKS),
    st.tuples(st.just("delete"), st.integers(0, 30)),
)


def average(book):
    counts = book["review_count"]
    # The database rounds half away from zero, which no average of these is.
    return round(book["rating_sum"] / counts, 2) if counts else None


def key_of(sort, book):
    names = {"title": "title_key", "author": "author_key"}
    if sort == "average_rating":
        return average(book)
    return book[names.get(sort, sort)]


def matches(book, *, q=None, author=None, min_rating=None, year_from=None, year_to=None):
    folded_author = book["folded"].partition("\n")[2]
    year, rating = book["published_year"], average(book)
    return (
        (q is None or q.casefold() in book["folded"])
        and (author is None or author.casefold() in folded_author)
        and (min_rating is None or (rating is not None and rating >= min_rating))
        and (year_from is None or (year is not None and year >= year_from))
        and (year_to is None or (year is not None and year <= year_to))
    )


def recount(books, sort, filters):
    """Return the ids that the whole list must have, in order: those without a key at the end."""
    name, descending = sort.removeprefix("-"), sort.startswith("-")
    found = [(key_of(name, each), each["id"]) for each in books if matches(each, **filters)]
    known = sorted((pair for pair in found if pair[0] is not None), reverse=descending)
    unknown = sorted((pair for pair in found if pair[0] is None), reverse=descending)
    return [book_id for _, book_id in known + unknown]


def pages(limit, read):
    """Return the ids of each page; ``read`` returns the page at a cursor."""
    cursor = None
    while True:
        page = read(PageRequest(limit, cursor, list_name="x"))
        assert len(page.items) <= limit
        yield [item.id for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return


def replace_books(rows):
    """Make ``rows`` all books there are; return them with their ids."""
    with db.session.begin():
        db.session.execute(delete(Book))
        rows = [{"id": number, **row} for number, row in enumerate(rows, start=1)]
        if rows:
            db.session.execute(insert(Book), rows)
    return rows


def write(books, changed, operation, *values):
    """Change the books in the database and in ``books``; add the id to ``changed``."""
    if operation == "add":
        book_id = max([0, *books]) + 1
        books[book_id] = {"id": book_id, **values[0]}
        statement = insert(Book).values(books[book_id])
    elif not books:
        return
    else:
        book_id = sorted(books)[values[0] % len(books)]
        of_book = Book.id == book_id
        del books[book_id]
        if operation == "delete":
            statement = delete(Book).where(of_book)
        else:
            books[book_id] = {"id": book_id, **values[1]}
            later = {**values[1], "version": Book.version + 1}
            statement = update(Book).where(of_book).values(later)
    changed.add(book_id)
    with db.session.begin():
        db.session.execute(statement)


EXAMPLES = settings(
    max_examples=150,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@EXAMPLES
@given(
    rows=st.lists(BOOKS, max_size=14),
    sort=st.sampled_from(SORTS),
    filters=FILTERS,
    limit=st.integers(1, 5),
)
def test_all_pages_of_any_list_are_the_sorted_list(in_context, rows, sort, filters, limit):
    books = replace_books(rows)
    found = list(pages(limit, lambda page: search.books(page, sort, **filters)))
    assert [book_id for page in found for book_id in page] == recount(books, sort, filters)
    if not {"q", "author"} & filters.keys():
        assert all(len(page) == limit for page in found[:-1])


@EXAMPLES
@given(
    rows=st.lists(BOOKS, min_size=4, max_size=14),
    listed=st.tuples(st.sampled_from(SORTS), FILTERS),
    limit=st.integers(1, 3),
    writes=st.lists(WRITE, min_size=1, max_size=WRITES),
)
def test_writes_between_pages_neither_skip_nor_repeat_other_books(
    in_context, rows, listed, limit, writes
):
    sort, filters = listed
    books = {row["id"]: row for row in replace_books(rows)}
    seen, changed, left = [], set(), list(writes)
    for page in pages(limit, lambda page: search.books(page, sort, **filters)):
        seen += page
        if left:
            write(books, changed, *left.pop())
    unchanged = [book for book_id, book in books.items() if book_id not in changed]
    assert [each for each in seen if each not in changed] == recount(unchanged, sort, filters)


REVIEWS = st.lists(st.tuples(st.sampled_from(RATINGS), st.integers(0, 2), st.booleans()))


@EXAMPLES
@given(
    rows=REVIEWS,
    sort=st.sampled_from(list(queries.REVIEW_ORDERS)),
    filters=st.fixed_dictionaries(
        {}, optional={"rating": st.sampled_from(RATINGS), "min_rating": st.sampled_from(RATINGS)}
    ),
    limit=st.integers(1, 5),
)
def test_all_pages_of_reviews_are_the_sorted_reviews(in_context, rows, sort, filters, limit):
    with db.session.begin():
        db.session.execute(delete(Review))
        db.session.execute(delete(Book))
        db.session.execute(insert(Book), {"id": 1, **book_of("T", "A", None, ())})
        reviews = [
            {
                "id": number,
                "book_id": 1,
                "rating": rating,
                "created_at": START + timedelta(days=day),
                "hidden": hidden,
                "reviewer": "Ana",
                "text": "Good.",
            }
            for number, (rating, day, hidden) in enumerate(rows, start=1)
        ]
        if reviews:
            db.session.execute(insert(Review), reviews)
    found = list(pages(limit, lambda page: queries.reviews(1, page, sort, **filters)))
    by_rating = sort in ("highest", "lowest")
    expected = sorted(
        (
            (each["rating"] if by_rating else 0, each["created_at"], each["id"])
            for each in reviews
            if not each["hidden"]
            and each["rating"] == filters.get("rating", each["rating"])
            and each["rating"] >= filters.get("min_rating", 1)
        ),
        reverse=sort in ("newest", "highest"),
    )
    assert [review_id for page in found for review_id in page] == [each[2] for each in expected]
    assert all(len(page) == limit for page in found[:-1])
