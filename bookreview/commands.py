"""`flask books ...` and `flask reviews ...`."""

from flask.cli import AppGroup

books = AppGroup("books", help="Books, from files.")
reviews = AppGroup("reviews", help="Reviews, from files.")
