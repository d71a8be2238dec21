"""Whether workers of the release before tolerate each migration, which runs while they serve.

A migration that they only tolerate for a reason states it: TOLERATED = {finding: reason}.
"""

import shutil
import threading
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from flask_migrate import upgrade
from sqlalchemy import text

from app.extensions import db, migrate
from tests.migration_rules import findings
from tests.waiting import PATIENCE, wait_until

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
PLANTED = '''"""A change of the schema."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"


def upgrade() -> None:
    {change}
'''
IN_AUTOCOMMIT = "with op.get_context().autocommit_block(): "
FLAGGED = {
    'op.drop_column("review", "source_id")': ["drops review.source_id"],
    'op.alter_column("book", "source_id", new_column_name="origin")': ["drops book.source_id"],
    'op.drop_table("webhook_delivery")': ["drops webhook_delivery"],
    'op.rename_table("hold", "held")': ["drops hold"],
    'op.add_column("book", sa.Column("language", sa.String(2), nullable=False))': [
        "requires book.language"
    ],
    'op.alter_column("product", "sku", type_=sa.String(80))': ["changes the type of product.sku"],
    'op.alter_column("product", "price", type_=sa.Numeric())': [
        "changes the type of product.price",
        "rewrites product",
    ],
    'op.alter_column("review", "version", server_default=None)': [
        "changes the default of review.version"
    ],
    'op.alter_column("book", "isbn", nullable=False)': ["requires book.isbn"],
    'op.create_unique_constraint("uq_book_title", "book", ["title"])': [
        "adds uq_book_title to book"
    ],
    'op.create_check_constraint("price_paid", "product", "price > 0")': [
        "adds ck_product_price_paid to product",
        "checks all rows of product while it is locked: NOT VALID, then VALIDATE",
    ],
    'op.create_index("ix_review_reviewer", "review", ["reviewer"])': [
        "indexes review without CONCURRENTLY"
    ],
    'op.execute("UPDATE product SET price = price + 1")': ["changes all rows of product at once"],
    'op.add_column("review", sa.Column("token", sa.Uuid(), server_default=sa.func.uuidv4()))': [
        "rewrites review"
    ],
    'op.execute("SET lock_timeout = 0"); op.add_column("book", sa.Column("a", sa.Date()))': [
        "waits for book without a lock_timeout"
    ],
}
HARMLESS = [
    'op.add_column("book", sa.Column("note", sa.Text()))',
    'op.add_column("book", sa.Column("rank", sa.Integer(), nullable=False, server_default="1"))',
    'op.execute("UPDATE book SET rank = 2 WHERE id > 10 AND id <= 20")',
    'op.create_table("tag", sa.Column("name", sa.Text(), primary_key=True, unique=True)); '
    'op.create_index("ix_tag", "tag", ["name"])',
    f'{IN_AUTOCOMMIT}op.execute("SET lock_timeout = 0"); '
    'op.create_index("ix_book_rank", "book", ["rank"], postgresql_concurrently=True)',
]


@pytest.fixture
def folder(tmp_path):
    """A copy of the folder of the migrations."""
    path = tmp_path / "migrations"
    return Path(shutil.copytree(MIGRATIONS, path, ignore=shutil.ignore_patterns("__pycache__")))


@pytest.fixture
def on_postgres(make_app):
    """A function that enters the context of an application on a database."""
    return lambda url: make_app(url).app_context()


def scripts():
    """Return the migrations, oldest first; an application has to be there."""
    return [*ScriptDirectory.from_config(migrate.get_config()).walk_revisions()][::-1]


def test_workers_of_the_release_before_tolerate_each_migration(on_postgres, new_postgres):
    with on_postgres(new_postgres):
        for script in scripts():
            reasons = getattr(script.module, "TOLERATED", {})
            assert findings(script.revision) == sorted(reasons), script.path
            assert all(reasons.values()), script.path


def test_what_they_do_not_tolerate_is_found(on_postgres, postgres_copy, folder):
    with on_postgres(postgres_copy):
        newest = scripts()[-1].revision
        for change in [*FLAGGED, *HARMLESS]:
            before, newest = newest, f"{int(newest) + 1:04}"
            planted = PLANTED.format(revision=newest, before=before, change=change)
            (folder / "versions" / f"{newest}_planted.py").write_text(planted)
            found = findings(newest, directory=str(folder))
            assert found == FLAGGED.get(change, []), change


def test_requests_go_on_while_a_migration_waits_for_a_table(
    on_postgres, new_postgres, caplog, make_app
):
    """An export, which may take an hour, holds the table; the migration tries again and again."""
    app = make_app(new_postgres)
    with app.app_context():
        upgrade(revision="0012")
        with db.engine.connect() as export:
            export.execute(text("SELECT count(*) FROM product"))
            build = threading.Thread(target=in_context(app, "0013"))
            build.start()
            wait_until(lambda: caplog.text.count("a table is in use") > 0)
            with db.engine.begin() as request:
                request.execute(text(f"SET LOCAL lock_timeout = '{PATIENCE}s'"))
                request.execute(text("SELECT count(*) FROM product"))
            assert build.is_alive()
            export.rollback()
        build.join(PATIENCE)
        assert not build.is_alive()
        with db.engine.connect() as connection:
            applied = connection.scalar(text("SELECT version_num FROM alembic_version"))
        assert applied == "0013"


def in_context(app, revision):
    def run():
        with app.app_context():
            upgrade(revision=revision)

    return run
