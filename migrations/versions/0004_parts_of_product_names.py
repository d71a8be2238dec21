"""Index product names for substring search: trigrams on PostgreSQL, FTS5 on SQLite.

Revision: 0004, after 0003
"""

from alembic import op

revision = "0004"
down_revision = "0003"

NAME = "ix_product_name_part"
SQLITE_UP = (
    # An external-content table: it stores only the index, the text stays in the table product.
    "CREATE VIRTUAL TABLE product_part USING fts5("
    "folded, content='product', content_rowid='id', tokenize='trigram')",
    "CREATE TRIGGER product_part_insert AFTER INSERT ON product BEGIN"
    " INSERT INTO product_part (rowid, folded) VALUES (new.id, new.folded); END",
    "CREATE TRIGGER product_part_delete AFTER DELETE ON product BEGIN"
    " INSERT INTO product_part (product_part, rowid, folded)"
    " VALUES ('delete', old.id, old.folded); END",
    "CREATE TRIGGER product_part_update AFTER UPDATE OF folded ON product BEGIN"
    " INSERT INTO product_part (product_part, rowid, folded)"
    " VALUES ('delete', old.id, old.folded);"
    " INSERT INTO product_part (rowid, folded) VALUES (new.id, new.folded); END",
    "INSERT INTO product_part (product_part) VALUES ('rebuild')",
)
SQLITE_DOWN = (
    "DROP TRIGGER product_part_update",
    "DROP TRIGGER product_part_delete",
    "DROP TRIGGER product_part_insert",
    "DROP TABLE product_part",
)


def on_postgres() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def upgrade() -> None:
    if not on_postgres():
        for statement in SQLITE_UP:
            op.execute(statement)
        return
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        # An interrupted build leaves an invalid index: drop it first.
        op.drop_index(NAME, "product", if_exists=True, postgresql_concurrently=True)
        op.create_index(
            NAME,
            "product",
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
        op.drop_index(NAME, "product", postgresql_concurrently=True)
    # The extension stays: other objects may use it.
