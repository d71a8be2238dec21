"""Find and end the processes that a film has started."""

import contextlib
import os

import psutil

MARK = "BOOKSTALL_FILM"
"""The variable that all processes of a film inherit."""
GRACE = 5
"""Seconds for a process to end after SIGTERM."""


def marked(mark: str) -> list[psutil.Process]:
    """Return all processes that inherited a mark, also those that left their session."""
    return [process for process in psutil.process_iter() if mark_of(process) == mark]


def of_session(leader: int) -> list[psutil.Process]:
    """Return all processes of a session, also those in the background, but not its leader."""
    found = [process for process in psutil.process_iter() if session_of(process) == leader]
    return [process for process in found if process.pid != leader]


def end(processes: list[psutil.Process]) -> None:
    """Terminate processes, and kill those that stay."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(processes, GRACE)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, GRACE)


def mark_of(process: psutil.Process) -> str | None:
    """Return the mark in the environment of a process."""
    try:
        mark: str | None = process.environ().get(MARK)
    except psutil.Error:
        return None
    return mark


def session_of(process: psutil.Process) -> int | None:
    """Return the process id of the leader of a session."""
    try:
        return os.getsid(process.pid)
    except OSError:
        return None
