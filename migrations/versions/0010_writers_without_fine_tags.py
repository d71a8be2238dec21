"""Invalidate everything after a write of a release that does not know the fine tags.

Its workers run for a moment beside those of this release, and write its rows of the outbox
without the new column. A trigger then adds the tag of all responses, which the next process that
renews its lease delivers.

Revision: 0010, after 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

ADD_ROW = """
    INSERT INTO outbox (tags, held, created_at, fine)
    VALUES ('["*"]', {false}, NEW.created_at, {true})
"""


def upgrade() -> None:
    column = sa.Column("fine", sa.Boolean(), nullable=False, server_default=sa.false())
    op.add_column("outbox", column)
    if op.get_context().dialect.name == "sqlite":
        op.execute(f"""
            CREATE TRIGGER outbox_without_fine_tags AFTER INSERT ON outbox WHEN NOT NEW.fine
            BEGIN {ADD_ROW.format(false=0, true=1)}; END""")
        return
    op.execute(f"""
        CREATE FUNCTION add_outbox_row_for_all_tags() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN {ADD_ROW.format(false="false", true="true")}; RETURN NULL; END $$""")
    op.execute("""
        CREATE TRIGGER outbox_without_fine_tags AFTER INSERT ON outbox
        FOR EACH ROW WHEN (NOT NEW.fine) EXECUTE FUNCTION add_outbox_row_for_all_tags()""")


def downgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        op.execute("DROP TRIGGER outbox_without_fine_tags")
    else:
        op.execute("DROP TRIGGER outbox_without_fine_tags ON outbox")
        op.execute("DROP FUNCTION add_outbox_row_for_all_tags")
    op.drop_column("outbox", "fine")
