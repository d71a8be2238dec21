"""The unprivileged user that runs PostgreSQL, which refuses to run as root."""

import os
import pwd
import stat
from pathlib import Path


def is_root() -> bool:
    """Return whether this process runs as root."""
    return os.geteuid() == 0


def unprivileged_user() -> pwd.struct_passwd:
    """Return the user that runs PostgreSQL instead of root."""
    return pwd.getpwnam("nobody")


def accessible_to_all(path: Path) -> bool:
    """Return whether every user can reach ``path`` and enter or execute it."""
    return all(part.stat().st_mode & stat.S_IXOTH for part in (path, *path.parents))


def chown_to_unprivileged(path: Path) -> None:
    """Make the unprivileged user the owner of ``path`` if this process runs as root."""
    if is_root():
        user = unprivileged_user()
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
