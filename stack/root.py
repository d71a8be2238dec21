"""What it takes for root to run PostgreSQL, which refuses: lend it to nobody."""

import os
import pwd
import stat
from pathlib import Path


def is_root() -> bool:
    """Tell whether we are root."""
    return os.geteuid() == 0


def nobody() -> pwd.struct_passwd:
    """Return the user that root lends PostgreSQL to."""
    return pwd.getpwnam("nobody")


def open_to_all(path: Path) -> bool:
    """Tell whether any user can get to ``path`` and enter or run it."""
    return all(part.stat().st_mode & stat.S_IXOTH for part in (path, *path.parents))


def give_to_nobody(path: Path) -> None:
    """Let PostgreSQL own ``path``, where we are root and it is nobody."""
    if is_root():
        os.chown(path, nobody().pw_uid, nobody().pw_gid, follow_symlinks=False)
