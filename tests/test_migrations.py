"""The migrations: up from nothing, down again, no drift, and no lock on a table in use."""

import re
import shutil
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from flask_migrate import check, downgrade, migrate, revision, upgrade
from sqlalchemy import inspect, text
from sqlalchemy.exc import DatabaseError

from app.extensions import db
from app.text import fold
from tests.waiting import PATIENCE, wait_until

FIRST_INDEX, INDEX = "ix_review_newest_of_book", "ix_review_by_time"
MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"


@pytest.fixture(params=["sqlite", "postgresql"])
def migrating(request, make_app, tmp_path):
    """The application, in its context, on a database that no migration has seen."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'new.db'}"
    else:
        url = request.getfixturevalue("new_postgres")
    app = make_app(url)
    with app.app_context():
        yield app


def tables():
    return set(inspect(db.engine).get_table_names())


def assert_no_difference():
    """Let Alembic compare by the rules of migrations/env.py; it exits where it finds something."""
    check()


def has_index(name=INDEX):
    """Return whether reviews have an index; on SQLite its name has another ending."""
    return any(index["name"].startswith(name) for index in inspect(db.engine).get_indexes("review"))


def test_up_from_nothing_gives_what_the_models_say(migrating):
    upgrade()
    assert set(db.metadata.tables) <= tables()
    assert_no_difference()
    assert has_index()


def test_a_difference_from_the_models_would_be_found(migrating):
    upgrade()
    with db.engine.begin() as connection:
        connection.execute(text("ALTER TABLE review ADD COLUMN mood VARCHAR(9)"))
    with pytest.raises(SystemExit):
        assert_no_difference()


def test_down_leaves_nothing_and_up_again_gives_all(migrating):
    upgrade()
    downgrade(revision="base")
    assert tables() == {"alembic_version"}
    upgrade()
    assert_no_difference()


def test_up_a_second_time_changes_nothing(migrating):
    upgrade()
    before = tables()
    upgrade()
    assert tables() == before


def test_every_migration_can_be_taken_back_with_rows_in_place(migrating):
    upgrade(revision="0001")
    fill()
    upgrade()
    downgrade(revision="0001")
    assert not has_index()
    upgrade()
    assert has_index()
    assert db.session.scalar(text("SELECT count(*) FROM review")) == 3
    db.session.rollback()


def test_the_index_can_be_built_again_after_it_was_broken_off(migrating):
    """PostgreSQL leaves an invalid index behind, which no query would use."""
    upgrade(revision="0001")
    fill()
    with db.engine.begin() as connection:
        connection.execute(text(f"CREATE INDEX {INDEX} ON review (book_id)"))
        if db.engine.dialect.name == "postgresql":
            connection.execute(
                text(
                    "UPDATE pg_index SET indisvalid = false, indisready = false "
                    f"WHERE indexrelid = '{INDEX}'::regclass"
                )
            )
    upgrade()
    assert_no_difference()
    if db.engine.dialect.name == "postgresql":
        assert valid()


@pytest.mark.parametrize("migrating", ["postgresql"], indirect=True)
def test_a_writer_goes_on_while_the_index_is_built(migrating):
    """A transaction that is open holds the build up; reviews are written all the while."""
    upgrade(revision="0001")
    fill()
    with holding(REVIEW) as holder:  # a lock on the table, until the end of this transaction
        build = threading.Thread(target=in_context(migrating, build_first_index))
        build.start()
        wait_until(waits_for_the_holder)
        with db.engine.begin() as writer:
            writer.execute(text(f"SET LOCAL lock_timeout = '{PATIENCE}s'"))
            writer.execute(text(REVIEW))
        assert build.is_alive()
        holder.rollback()
    build.join(PATIENCE)
    assert not build.is_alive()
    assert valid(FIRST_INDEX)


@pytest.mark.parametrize("migrating", ["postgresql"], indirect=True)
def test_a_build_that_was_broken_off_for_real_is_made_good_by_the_next_run(migrating):
    upgrade(revision="0001")
    fill()
    with holding(REVIEW) as holder:
        failed = []
        build = threading.Thread(target=in_context(migrating, build_first_index, failed))
        build.start()
        wait_until(waits_for_the_holder)
        with db.engine.connect() as other:
            other.execute(
                text(
                    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity "
                    "WHERE query LIKE 'CREATE INDEX%' AND datname = current_database()"
                )
            )
        build.join(PATIENCE)
        holder.rollback()
    assert failed
    assert has_index(FIRST_INDEX)
    assert not valid(FIRST_INDEX)
    build_first_index()
    assert valid(FIRST_INDEX)
    upgrade()
    assert_no_difference()


@pytest.mark.parametrize("migrating", ["postgresql"], indirect=True)
def test_books_are_written_while_their_trigrams_are_indexed(migrating):
    upgrade(revision="0011")
    fill()
    with holding("UPDATE book SET published_year = 1815 WHERE id = 1") as holder:
        build = threading.Thread(target=in_context(migrating, partial(upgrade, revision="0012")))
        build.start()
        wait_until(waits_for_the_holder)
        with db.engine.begin() as writer:
            writer.execute(text(f"SET LOCAL lock_timeout = '{PATIENCE}s'"))
            writer.execute(text(f"INSERT INTO book {BOOK}"))
        assert build.is_alive()
        holder.rollback()
    build.join(PATIENCE)
    assert not build.is_alive()
    assert valid("ix_book_part")


OLD_TITLES = ["\u03a4\u03b1\u0390\u03b6\u03c9", "No\u00a0break hy\u00adphen", "Plain", "plain"]
PLAIN_SEARCHES = ["\u03a4\u0391\u0399\u0308\u0301\u0396\u03a9", "no break hyphen"]
MANY = 2_500


def fill_with_old_forms():
    """Insert books and products as the release before revision 0008 wrote them."""
    book = "INSERT INTO book (title, author, review_count, rating_sum, created_at, folded) "
    product = "INSERT INTO product (sku, name, price, stock_level, version, updated_at, folded) "
    titles = [OLD_TITLES[number % len(OLD_TITLES)] for number in range(MANY)]
    rows = [
        {"sku": f"s{number}", "title": title, "folded": title.casefold()}
        for number, title in enumerate(titles)
    ]
    at = "'2024-01-01 00:00:00'"
    with db.engine.begin() as connection:
        authored = [{**row, "folded": f"{row['folded']}\nana"} for row in rows]
        connection.execute(text(f"{book} VALUES (:title, 'Ana', 0, 0, {at}, :folded)"), authored)
        connection.execute(text(f"{product} VALUES (:sku, :title, 1, 0, 1, {at}, :folded)"), rows)


def found(app, path, **query):
    query = {**query, "include_total": "true"}
    return app.test_client().get(path, query_string=query).json["total"]


def old_forms(table):
    with db.engine.connect() as connection:
        rows = connection.execute(text(f"SELECT id, folded FROM {table} ORDER BY id"))
        return [row.id for row in rows if row.folded != fold(row.folded)]


def test_titles_and_names_from_before_are_found_by_plain_text(migrating):
    upgrade(revision="0007")
    fill_with_old_forms()
    upgrade()
    for search in PLAIN_SEARCHES:
        assert found(migrating, "/books", q=search) == MANY / 4
        assert found(migrating, "/products/search", name=search) == MANY / 4
    assert found(migrating, "/books", author="ana") == MANY
    page = migrating.test_client().get("/products?sort=name&limit=100").json
    assert {item["name"] for item in page["items"]} == {OLD_TITLES[1]}


def test_a_run_that_was_broken_off_keeps_its_batches_and_the_next_one_does_the_rest(migrating):
    upgrade(revision="0007")
    fill_with_old_forms()
    poison = MANY - 2  # of the third batch, with a form that differs
    with db.engine.begin() as connection:
        for statement in POISON[db.engine.dialect.name]:
            connection.execute(text(statement.replace(":id", str(poison))))
    with pytest.raises(DatabaseError, match="poison"):
        upgrade()
    left = old_forms("product")
    assert old_forms("book") == []
    assert left[0] > 2_000
    assert poison in left
    with db.engine.begin() as connection:
        connection.execute(text(CURE[db.engine.dialect.name]))
    upgrade()
    assert old_forms("product") == []
    assert_no_difference()


@pytest.mark.parametrize("migrating", ["postgresql"], indirect=True)
def test_writers_go_on_while_rows_are_folded_and_nothing_is_lost(migrating):
    """A row of the third batch is locked; those of the finished batches are written."""
    upgrade(revision="0007")
    fill_with_old_forms()
    with holding(f"UPDATE product SET price = 7 WHERE id = {MANY}") as holder:
        fold_all = threading.Thread(target=in_context(migrating, upgrade))
        fold_all.start()
        wait_until(lambda: waits_for_a_lock("SELECT product.id%"))
        with db.engine.begin() as writer:
            writer.execute(text(f"SET LOCAL lock_timeout = '{PATIENCE}s'"))
            writer.execute(text("UPDATE product SET price = 8 WHERE id = 1"))
            writer.execute(text("UPDATE book SET review_count = 0 WHERE id = 1"))
        assert fold_all.is_alive()
        holder.commit()
    fold_all.join(PATIENCE)
    assert not fold_all.is_alive()
    assert old_forms("product") == old_forms("book") == []
    with db.engine.connect() as connection:
        prices = connection.scalars(text("SELECT price FROM product WHERE price > 1 ORDER BY id"))
        assert prices.all() == [8, 7]


RECOUNTED = """
    SELECT id, version, title_key, author_key, review_count, rating_sum,
        stars_1, stars_2, stars_3, stars_4, stars_5 FROM book ORDER BY id
"""


@pytest.mark.parametrize("migrating", ["postgresql"], indirect=True)
def test_the_columns_of_a_run_that_was_broken_off_among_the_indexes_are_kept(migrating):
    upgrade(revision="0012")
    with db.engine.begin() as connection:
        connection.execute(text("ALTER TABLE product ADD archived boolean NOT NULL DEFAULT false"))
        connection.execute(text("CREATE INDEX ix_product_listed ON product (archived)"))
    upgrade()
    assert_no_difference()
    downgrade(revision="0012")
    upgrade()
    assert_no_difference()


def test_the_stars_of_books_from_before_are_counted_and_their_keys_are_made(migrating):
    """The counts of the second book are wrong, which only an operator can have caused."""
    upgrade(revision="0010")
    book = "INSERT INTO book (title, author, review_count, rating_sum, created_at, folded) "
    review = "INSERT INTO review (book_id, rating, reviewer, text, created_at) "
    at = "'2024-01-01 00:00:00'"
    long = "\u00e5" * 300
    folded = ["zebra\nana", f"{long}\n{long}", "ant\nben"]
    with db.engine.begin() as connection:
        for (count, total), text_of in zip([(3, 8), (1, 1), (0, 0)], folded, strict=True):
            values = {"n": count, "s": total, "f": text_of}
            connection.execute(text(f"{book} VALUES ('T', 'A', :n, :s, {at}, :f)"), values)
        for book_id, rating in ((1, 1), (1, 2), (1, 5), (2, 4), (2, 4)):
            values = f"VALUES ({book_id}, {rating}, 'Ana', 'Good.', {at})"
            connection.execute(text(f"{review} {values}"))
    for _ in range(2):
        upgrade()
        with db.engine.connect() as connection:
            rows = [tuple(row) for row in connection.execute(text(RECOUNTED))]
        assert rows == [
            (1, 1, "zebra", "ana", 3, 8, 1, 1, 0, 0, 1),
            (2, 1, long[:200], long[:200], 2, 8, 0, 0, 0, 2, 0),
            (3, 1, "ant", "ben", 0, 0, 0, 0, 0, 0, 0),
        ]
        with db.engine.begin() as connection:
            connection.execute(text("UPDATE review SET hidden = true WHERE id = 1"))
        downgrade(revision="0010")
        with db.engine.connect() as connection:
            shown = connection.execute(text("SELECT review_count, rating_sum FROM book"))
            assert sorted(map(tuple, shown)) == [(0, 0), (2, 8), (3, 8)]


POISON = {
    "sqlite": [
        "CREATE TRIGGER poison BEFORE UPDATE ON product WHEN old.id = :id "
        "BEGIN SELECT RAISE(ABORT, 'poison'); END"
    ],
    "postgresql": [
        "CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql "
        "AS $$ BEGIN RAISE 'poison'; END $$",
        "CREATE TRIGGER poison BEFORE UPDATE ON product FOR EACH ROW WHEN (old.id = :id) "
        "EXECUTE FUNCTION poison()",
    ],
}
CURE = {
    "sqlite": "DROP TRIGGER poison",
    "postgresql": "DROP FUNCTION poison CASCADE",
}
BOOK = (
    "(title, author, review_count, rating_sum, created_at, folded) "
    "VALUES ('T', 'A', 0, 0, '2024-01-01 00:00:00', 't')"
)
REVIEW = (
    "INSERT INTO review (book_id, rating, reviewer, text, created_at) "
    "VALUES (1, 4, 'Ana', 'Good.', '2024-01-01 00:00:00')"
)


def fill():
    with db.engine.begin() as connection:
        connection.execute(text(f"INSERT INTO book {BOOK}"))
        for _ in range(3):
            connection.execute(text(REVIEW))


@contextmanager
def holding(statement):
    """Execute a statement in a transaction that stays open."""
    with db.engine.connect() as holder:
        holder.execute(text(statement))
        yield holder


def valid(name=INDEX):
    with db.engine.connect() as connection:
        return connection.scalar(
            text(f"SELECT indisvalid FROM pg_index WHERE indexrelid = '{name}'::regclass")
        )


def build_first_index():
    upgrade(revision="0002")


def waits_for_the_holder():
    return waits_for_a_lock("CREATE INDEX%")


def waits_for_a_lock(statement):
    with db.engine.connect() as connection:
        return connection.scalar(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE :statement "
                "AND wait_event_type = 'Lock' AND datname = current_database()"
            ),
            {"statement": statement},
        )


def in_context(app, work, failed=None):
    def run():
        try:
            with app.app_context():
                work()
        except BaseException as error:
            if failed is None:
                raise
            failed.append(error)

    return run


@pytest.fixture
def folder(tmp_path):
    """A copy of the folder of the migrations."""
    path = tmp_path / "migrations"
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(MIGRATIONS, path, ignore=ignored))


@pytest.fixture
def migrated(make_app, sqlite_database):
    """The application, in its context, on a migrated database."""
    with make_app(sqlite_database).app_context():
        yield


def names(folder):
    return sorted(path.name for path in (folder / "versions").glob("*.py"))


def test_every_migration_has_the_next_number_and_a_name():
    for number, name in enumerate(names(MIGRATIONS), start=1):
        assert re.fullmatch(rf"{number:04}_[a-z0-9_]+\.py", name)


def test_a_new_migration_has_the_next_number(migrated, folder):
    before = names(folder)
    with db.engine.begin() as connection:
        connection.execute(text("DROP TABLE event"))
    migrate(directory=folder, message="Create the events again")
    revision(directory=folder, message="Fill them")
    first, second = sorted(set(names(folder)) - set(before))
    last = len(before)
    assert (first, second) == (
        f"{last + 1:04}_create_the_events_again.py",
        f"{last + 2:04}_fill_them.py",
    )
    assert "op.create_table" in (folder / "versions" / first).read_text()
    written = (folder / "versions" / second).read_text()
    assert f'revision = "{last + 2:04}"' in written.replace("'", '"')
    assert f'down_revision = "{last + 1:04}"' in written.replace("'", '"')


@pytest.mark.parametrize("message", ["Change nothing", "", None])
def test_a_migration_without_changes_is_not_written(migrated, folder, message, caplog):
    before = names(folder)
    with pytest.raises(SystemExit) as stopped:
        migrate(directory=folder, message=message)
    assert stopped.value.code == 1
    assert names(folder) == before
    assert "nothing to migrate" in caplog.text


@pytest.mark.parametrize("message", ["", " ", None])
def test_a_migration_without_a_name_is_not_written(migrated, folder, message, caplog):
    before = names(folder)
    with db.engine.begin() as connection:
        connection.execute(text("DROP TABLE event"))
    for write in (migrate,) if message is None else (migrate, revision):
        with pytest.raises(SystemExit):
            write(directory=folder, message=message)
    assert names(folder) == before
    assert 'make revision m="add a column"' in caplog.text
