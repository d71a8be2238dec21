"""The commands `flask books` and `flask reviews`."""

from flask.cli import AppGroup

from app.loading.commands import load_command
from bookreview.loads import BOOKS, REVIEWS

LOAD_BOOKS = """Load books from a CSV file.

A row whose key is stored updates that book where it differs; any other row adds a book.
A blank cell changes nothing. Fields: title, author, isbn, published_year, source_id.

\b
flask books load books.csv --map author=authors --key source_id
"""
LOAD_REVIEWS = """Load reviews from a CSV file.

One column identifies the book: book_id, isbn or book_source_id. Other fields: rating,
reviewer, text, created_at, source_id. Without a column for source_id, a review is
identified by its content: repeated rows are one review.

\b
flask reviews load ratings.csv --map book_source_id=book_id --map text=comment
"""

books = AppGroup("books", help="Commands for books.")
reviews = AppGroup("reviews", help="Commands for reviews.")
books.add_command(load_command(BOOKS, LOAD_BOOKS))
reviews.add_command(load_command(REVIEWS, LOAD_REVIEWS))
