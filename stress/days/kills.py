"""Kills at the moments that matter: around a rename, and in the middle of a manifest line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from adsfetch.storage import atomic, manifest
from adsfetch.storage.states import Entry
from stress.days.folder import Folder


class Killed(BaseException):
    """The end of the process: nothing of the code under test catches it."""


@contextmanager
def killed_after(steps: int | None, folder: Folder) -> Iterator[None]:
    """Raise Killed at the given step; every file that is moved gets the simulated time.

    Nothing waits for the disk: what is tested is the order of the steps.
    """
    left = [steps]
    move, append = atomic.move_into_place, manifest.append

    def step() -> None:
        if left[0] is not None:
            if left[0] == 0:
                raise Killed
            left[0] -= 1

    def move_into_place(temp: Path, target: Path) -> None:
        step()
        folder.touch(temp)
        move(temp, target)
        step()

    def append_line(path: Path, entry: Entry) -> None:
        try:
            step()
        except Killed:
            with path.open("ab") as file:
                file.write(manifest.encode_line(entry)[:30])
            raise
        append(path, entry)
        step()

    with (
        mock.patch.object(atomic, "move_into_place", move_into_place),
        mock.patch.object(manifest, "append", append_line),
        mock.patch("os.fsync"),
    ):
        yield
