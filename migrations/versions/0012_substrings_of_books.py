"""Index titles and authors for substring search: trigrams on PostgreSQL, FTS5 on SQLite.

Revision: 0012, after 0011
"""

from alembic import op

revision = "0012"
down_revision = "0011"

NAME = "ix_book_part"
SQLITE_UP = (
    # An external-content table: it stores only the index, the text stays in the table book.
    "CREATE VIRTUAL TABLE book_part USING fts5("
    "folded, content='book', content_rowid='id', tokenize='trigram')",
    "CREATE TRIGGER book_part_insert AFTER INSERT ON book BEGIN"
    " INSERT INTO book_part (rowid, folded) VALUES (new.id, new.folded); END",
    "CREATE TRIGGER book_part_delete AFTER DELETE ON book BEGIN"
    " INSERT INTO book_part (book_part, rowid, folded)"
    " VALUES ('delete', old.id, old.folded); END",
    "CREATE TRIGGER book_part_update AFTER UPDATE OF folded ON book BEGIN"
    " INSERT INTO book_part (book_part, rowid, folded)"
    " VALUES ('delete', old.id, old.folded);"
    " INSERT INTO book_part (rowid, folded) VALUES (new.id, new.folded); END",
    # A search looks in each part of the index: merge two of the same size at once, and all now.
    "INSERT INTO book_part (book_part, rank) VALUES ('automerge', 2)",
    "INSERT INTO book_part (book_part) VALUES ('rebuild')",
    "INSERT INTO book_part (book_part) VALUES ('optimize')",
)
SQLITE_DOWN = (
    "DROP TRIGGER book_part_update",
    "DROP TRIGGER book_part_delete",
    "DROP TRIGGER book_part_insert",
    "DROP TABLE book_part",
)


def on_postgres() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def upgrade() -> None:
    if not on_postgres():
        for statement in SQLITE_UP:
            op.execute(statement)
        return
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        # An interrupted build leaves an invalid index: drop it first.
        op.drop_index(NAME, "book", if_exists=True, postgresql_concurrently=True)
        op.create_index(
            NAME,
            "book",
            ["folded"],
            postgresql_using="gin",
            postgresql_ops={"folded": "gin_trgm_ops"},
            postgresql_with={"fastupdate": "off"},
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    if not on_postgres():
        for statement in SQLITE_DOWN:
            op.execute(statement)
        return
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.drop_index(NAME, "book", postgresql_concurrently=True)
