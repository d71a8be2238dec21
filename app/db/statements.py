"""Parts of statements that SQLAlchemy does not offer for both databases alike."""

import re
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite

LIKE_ESCAPE = "/"
"""Pass it as ``escape=`` to ``like`` together with ``escape_like``."""
_INSERT: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


def dialect_insert(dialect: str, model: Any) -> Any:
    """Return an INSERT that has ``on_conflict_do_nothing`` and ``on_conflict_do_update``."""
    return _INSERT[dialect](model)


def escape_like(text: str) -> str:
    """Escape the wildcards in ``text``, so that LIKE matches every character literally."""
    return re.sub("[/%_]", r"/\g<0>", text)
