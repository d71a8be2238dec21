"""Count the stars of each book, let reviews be hidden, and index every order of books.

Workers of the release before this one run for a while beside those of this one. They do not know
the new columns, so they never raise a version: triggers then complete the rows that they write. A
book has the version 0 until that has happened, and until this migration has counted its stars.

Nothing of a deleted book or review may pass to another one, so SQLite never uses an id again; the
sequences of PostgreSQL never go back.

On PostgreSQL nothing blocks readers or writers for longer than one batch takes, and an interrupted
run is completed by the next one. SQLite has one transaction for all of it.

Revision: 0011, after 0010
"""
# ruff: noqa: S608  # every statement is made of constants

import re

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
TOLERATED = {
    "adds ck_book_stars_add_up to book": "Triggers complete what older workers write, before it.",
}

BATCH_ROWS = 5_000
RATINGS = range(1, 6)
COUNT_COLUMNS = ["review_count", "rating_sum", *(f"stars_{rating}" for rating in RATINGS)]
COLUMNS = {
    "book": [
        ("version", sa.Integer(), sa.text("0")),
        *((f"stars_{rating}", sa.Integer(), sa.text("0")) for rating in RATINGS),
        ("title_key", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), sa.text("''")),
        ("author_key", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), sa.text("''")),
    ],
    "review": [
        ("version", sa.Integer(), sa.text("1")),
        ("hidden", sa.Boolean(), sa.false()),
    ],
}
REVIEW_INDEXES = [
    ("ix_review_by_time", "review", ["book_id", "hidden", "created_at"]),
    ("ix_review_by_rating", "review", ["book_id", "hidden", "rating", "created_at"]),
]
BOOK_INDEXES = [
    ("ix_book_title", "book", ["title_key"]),
    ("ix_book_author", "book", ["author_key"]),
    ("ix_book_year", "book", ["published_year"]),
    ("ix_book_average", "book", ["average_rating"]),
    ("ix_book_count", "book", ["review_count"]),
]
OLD_INDEX = ("ix_review_newest_of_book", "review", ["book_id", "created_at"])

# The first and the second line of ``folded``, cut to a length that PostgreSQL can index.
KEYS = {
    "postgresql": (
        "left(split_part({0}folded, E'\\n', 1), 200)",
        "left(split_part({0}folded, E'\\n', 2), 200)",
    ),
    "sqlite": (
        "substr({0}folded, 1, min(200, instr({0}folded, char(10)) - 1))",
        "substr({0}folded, instr({0}folded, char(10)) + 1, 200)",
    ),
}
COUNTS = "SELECT count(*) AS n, coalesce(sum(rating), 0) AS total, " + ", ".join(
    f"count(CASE rating WHEN {rating} THEN 1 END) AS n{rating}" for rating in RATINGS
)
COUNTS += " FROM review WHERE book_id = {0}id AND NOT hidden"
# The release before this one counts a review before it inserts it: so one may not be there yet.
COUNTS_WITH_NEXT = (
    "SELECT n + is_next, total + is_next * next, "
    + ", ".join(
        f"n{rating} + CASE WHEN is_next = 1 AND next = {rating} THEN 1 ELSE 0 END"
        for rating in RATINGS
    )
    + " FROM (SELECT *, CASE WHEN NEW.review_count = n + 1 AND next BETWEEN 1 AND 5"
    " THEN 1 ELSE 0 END AS is_next"
    f" FROM (SELECT *, NEW.rating_sum - total AS next FROM ({COUNTS.format('NEW.')}) AS a) AS b"
    ") AS c"
)


def adds_up(row: str = "") -> str:
    stars = [f"{row}stars_{rating}" for rating in RATINGS]
    weighted = [f"{rating} * {column}" for rating, column in zip(RATINGS, stars, strict=True)]
    return (
        f"least({', '.join(stars)}) >= 0 AND {' + '.join(stars)} = {row}review_count "
        f"AND {' + '.join(weighted)} = {row}rating_sum"
    )


def count_stars(dialect: str) -> str:
    """Return the UPDATE of the books that have the version 0."""
    title, author = (key.format("") for key in KEYS[dialect])
    return (
        f"UPDATE book SET version = 1, title_key = {title}, author_key = {author}, "
        f"({', '.join(COUNT_COLUMNS)}) = ({COUNTS.format('book.')}) WHERE version = 0"
    )


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        with op.get_context().autocommit_block():
            upgrade_postgres()
    else:
        upgrade_sqlite()


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        with op.get_context().autocommit_block():
            downgrade_postgres()
    else:
        downgrade_sqlite()


def upgrade_postgres() -> None:
    # Each statement locks one table, as a writer may already have locked the other one.
    op.execute("RESET lock_timeout")
    for table, columns in COLUMNS.items():
        for name, kind, default in columns:
            column = sa.Column(name, kind, nullable=False, server_default=default)
            op.add_column(table, column, if_not_exists=True)
    create_postgres_triggers()
    op.execute("SET lock_timeout = 0")
    for index in REVIEW_INDEXES:
        rebuild(*index)
    # The rows are locked by a statement of their own: the next one then sees every review of them.
    op.execute(f"""
        DO $$
        DECLARE previous integer := 0; latest integer;
        BEGIN
            LOOP
                SELECT max(id) INTO latest FROM (
                    SELECT id FROM book WHERE id > previous ORDER BY id LIMIT {BATCH_ROWS}
                ) AS batch;
                EXIT WHEN latest IS NULL;
                PERFORM 1 FROM book WHERE id > previous AND id <= latest AND version = 0
                    ORDER BY id FOR NO KEY UPDATE;
                {count_stars("postgresql")} AND id > previous AND id <= latest;
                COMMIT;
                previous := latest;
            END LOOP;
        END $$""")
    for index in BOOK_INDEXES:
        rebuild(*index)
    drop(OLD_INDEX[0])
    op.execute("RESET lock_timeout")
    op.execute(
        "ALTER TABLE book DROP CONSTRAINT IF EXISTS ck_book_stars_add_up, "
        f"ADD CONSTRAINT ck_book_stars_add_up CHECK ({adds_up()}) NOT VALID"
    )
    op.execute("ALTER TABLE book VALIDATE CONSTRAINT ck_book_stars_add_up")


def create_postgres_triggers() -> None:
    title, author = (key.format("NEW.") for key in KEYS["postgresql"])
    op.execute(f"""
        CREATE OR REPLACE FUNCTION complete_book() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.version := NEW.version + 1;
            NEW.title_key := {title};
            NEW.author_key := {author};
            IF TG_OP = 'UPDATE' THEN
                {COUNTS_WITH_NEXT} INTO {", ".join(f"NEW.{name}" for name in COUNT_COLUMNS)};
            END IF;
            RETURN NEW;
        END $$""")
    op.execute("""
        CREATE OR REPLACE FUNCTION raise_version() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.version := NEW.version + 1; RETURN NEW; END $$""")
    for table, event, condition, function in (
        ("book", "INSERT", "NEW.version = 0", "complete_book"),
        ("book", "UPDATE", "NEW.version = OLD.version", "complete_book"),
        ("review", "UPDATE", "NEW.version = OLD.version", "raise_version"),
    ):
        name = f"{table}_of_older_release_{event.lower()}"
        op.execute(f"DROP TRIGGER IF EXISTS {name} ON {table}")
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {event} ON {table} "
            f"FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION {function}()"
        )


def rebuild(name: str, table: str, columns: list[str]) -> None:
    drop(name)  # an interrupted build leaves an invalid index
    op.create_index(name, table, [*columns, "id"], postgresql_concurrently=True)


def drop(name: str) -> None:
    op.drop_index(name, if_exists=True, postgresql_concurrently=True)


def downgrade_postgres() -> None:
    op.execute("SET lock_timeout = 0")
    rebuild(*OLD_INDEX)
    for name, _, _ in (*REVIEW_INDEXES, *BOOK_INDEXES):
        drop(name)
    op.execute("RESET lock_timeout")
    op.execute("ALTER TABLE book DROP CONSTRAINT IF EXISTS ck_book_stars_add_up")
    op.execute("DROP FUNCTION IF EXISTS complete_book CASCADE")
    op.execute("DROP FUNCTION IF EXISTS raise_version CASCADE")
    op.execute(SHOW_ALL)
    for table, columns in COLUMNS.items():
        for name, _, _ in columns:
            op.drop_column(table, name, if_exists=True)


# The release before this one shows every review, so it has to count every review too.
SHOW_ALL = (
    "UPDATE book SET (review_count, rating_sum) = "
    "(SELECT count(*), coalesce(sum(rating), 0) FROM review WHERE book_id = book.id) "
    "WHERE id IN (SELECT book_id FROM review WHERE hidden)"
)


def never_reuse_ids_in_sqlite() -> None:
    """Create both tables again, with AUTOINCREMENT: a deleted row must not have a successor.

    In this order no review refers to a book that is not there.
    """
    connection = op.get_bind()
    for table in ("book", "review"):
        query = sa.text("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = :name")
        sql = connection.execute(query, {"name": table}).scalar_one()
        if "AUTOINCREMENT" in sql:  # a downgrade keeps it
            return
        key = f"CONSTRAINT pk_{table} PRIMARY KEY"
        sql = re.sub(rf"{key} \(id\),\s*", "", sql)
        sql = sql.replace("id INTEGER NOT NULL", f"id INTEGER NOT NULL {key} AUTOINCREMENT", 1)
        sql = sql.replace("REFERENCES book", "REFERENCES new_book")
        op.execute(re.sub(rf"CREATE TABLE {table}\b", f"CREATE TABLE new_{table}", sql))
        columns = ", ".join(row.name for row in connection.execute(COLUMN_NAMES, {"name": table}))
        op.execute(f"INSERT INTO new_{table} ({columns}) SELECT {columns} FROM {table} ORDER BY id")
    for table in ("review", "book"):
        op.drop_table(table)
    for table in ("book", "review"):
        op.rename_table(f"new_{table}", table)


# All but the generated ones.
COLUMN_NAMES = sa.text("SELECT name FROM pragma_table_info(:name)")


def upgrade_sqlite() -> None:
    never_reuse_ids_in_sqlite()
    op.drop_index(f"{OLD_INDEX[0]}_rowid", if_exists=True)
    for table, columns in COLUMNS.items():
        for name, kind, default in columns:
            column = sa.Column(name, kind, nullable=False, server_default=default)
            op.add_column(table, column)
    for name, table, columns in REVIEW_INDEXES:
        op.create_index(f"{name}_rowid", table, columns)
    op.execute(count_stars("sqlite"))
    for name, table, columns in BOOK_INDEXES:
        op.create_index(f"{name}_rowid", table, columns)
    title, author = (key.format("") for key in KEYS["sqlite"])
    complete = f"UPDATE book SET version = version + 1, title_key = {title}, author_key = {author}"
    refuse = "SELECT RAISE(ABORT, 'CHECK constraint failed: ck_book_stars_add_up')"
    wrong = f"NOT ({adds_up('NEW.').replace('least', 'min')})"
    for name, event, condition, action in (
        ("book_of_older_release_insert", "INSERT ON book", "NEW.version = 0", complete),
        (
            "book_of_older_release_update",
            "UPDATE ON book",
            "NEW.version = OLD.version",
            f"{complete}, ({', '.join(COUNT_COLUMNS)}) = ({COUNTS_WITH_NEXT})",
        ),
        (
            "review_of_older_release_update",
            "UPDATE ON review",
            "NEW.version = OLD.version",
            "UPDATE review SET version = version + 1",
        ),
        # A CHECK cannot be added to a table, and would refuse what the triggers complete.
        ("book_stars_insert", "INSERT ON book", f"NEW.version > 0 AND {wrong}", refuse),
        (
            "book_stars_update",
            "UPDATE ON book",
            f"NEW.version <> OLD.version AND {wrong}",
            refuse,
        ),
    ):
        where = " WHERE id = NEW.id" if action.startswith("UPDATE") else ""
        op.execute(
            f"CREATE TRIGGER {name} AFTER {event} WHEN {condition} BEGIN {action}{where}; END"
        )


SQLITE_TRIGGERS = (
    "book_of_older_release_insert",
    "book_of_older_release_update",
    "review_of_older_release_update",
    "book_stars_insert",
    "book_stars_update",
)


def downgrade_sqlite() -> None:
    for name in SQLITE_TRIGGERS:
        op.execute(f"DROP TRIGGER {name}")
    op.execute(SHOW_ALL)
    op.create_index(f"{OLD_INDEX[0]}_rowid", "review", OLD_INDEX[2])
    for name, _, _ in (*REVIEW_INDEXES, *BOOK_INDEXES):
        op.drop_index(f"{name}_rowid")
    for table, columns in COLUMNS.items():
        for name, _, _ in columns:
            op.drop_column(table, name)
