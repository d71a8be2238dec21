"""The migrations that this release knows, compared with those that the database has."""

from collections.abc import Collection
from typing import NamedTuple

from alembic.script import ScriptDirectory
from flask import Flask

from app.extensions import migrate


class Migrations(NamedTuple):
    """The revisions in the migrations folder."""

    heads: frozenset[str]
    all: frozenset[str]

    def are_applied(self, applied: Collection[str]) -> bool:
        """Return whether a database whose newest revisions are ``applied`` has all of them.

        A revision that is unknown here belongs to a newer release, which has migrated already:
        its migrations come after ours.
        """
        return self.heads <= set(applied) or not self.all.issuperset(applied)


def known_migrations(app: Flask) -> Migrations:
    """Read the revisions in the migrations folder."""
    with app.app_context():
        script = ScriptDirectory.from_config(migrate.get_config())
    revisions = frozenset(script.revision for script in script.walk_revisions())
    return Migrations(frozenset(script.get_heads()), revisions)
