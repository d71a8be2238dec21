"""The folder of one running master: the metrics of its workers, and what they share.

It is removed when the master exits. A master that was killed leaves its folder; the next start
removes it.
"""

import atexit
import fcntl
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

PREFIX = "bookstall-metrics-"
VARIABLE = "BOOKSTALL_RUN_FOLDER"
OWNER = "pid"
"""Has the process id of the master. The folder is locked while the master or a worker runs."""
PATIENCE_SECONDS = 2.5
"""How long to wait for workers whose master was killed: they notice it within a second, and end."""
METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def create() -> None:
    """Create the folder of this process, and tell the workers by the environment.

    Set PROMETHEUS_MULTIPROC_DIR to it, unless an operator has set that.
    """
    _remove_abandoned()
    inherited = os.environ.get(VARIABLE)
    try:
        folder = _create_locked()
        atexit.register(_remove, folder, os.getpid())
        if os.environ.get(METRICS_VARIABLE) in {None, "", inherited}:
            os.environ[METRICS_VARIABLE] = str(folder)
        Path(os.environ[METRICS_VARIABLE]).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SystemExit(f"bookstall: the folder of the metrics cannot be made: {error}") from None
    os.environ[VARIABLE] = str(folder)


def current() -> Path | None:
    """Return the folder of this process's master; None without a master."""
    folder = os.environ.get(VARIABLE)
    return Path(folder) if folder else None


def _create_locked() -> Path:
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    # On the folder itself: systemd-tmpfiles, which removes old files, leaves locked folders alone.
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    (folder / OWNER).write_text(str(os.getpid()))
    return folder


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # the workers inherit this call
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned() -> None:
    """Remove the folders of this user whose master and workers have ended."""
    until = time.monotonic() + PATIENCE_SECONDS
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError, ValueError):
            while not _remove_unlocked(folder) and not _owner_runs(folder):
                if time.monotonic() > until:
                    break
                time.sleep(0.1)


def _remove_unlocked(folder: Path) -> bool:
    """Remove ``folder`` unless it is locked; raise OSError if no master of this user made it."""
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(lock).st_uid != os.geteuid() or not (folder / OWNER).exists():
            raise PermissionError(folder)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        shutil.rmtree(folder, ignore_errors=True)
        return True
    finally:
        os.close(lock)


def _owner_runs(folder: Path) -> bool:
    """Return whether the master that made ``folder`` runs; if not, its workers end soon."""
    try:
        os.kill(int((folder / OWNER).read_text()), 0)
    except ProcessLookupError:
        return False
    return True
