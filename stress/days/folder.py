"""A dataset as it lies on the disk, read and damaged without the code that is under test."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

from stress.days.source import HEADER

BASE = date(2024, 3, 10)
UNIVERSE = [BASE + timedelta(number) for number in range(-30, 90)]


class Folder:
    """The files of a dataset; times of changes are those of the simulated clock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = BASE
        self._changes = 0

    def file(self, day: date) -> Path:
        return self.path / "days" / f"{day}.csv"

    def content(self, day: date) -> bytes | None:
        file = self.file(day)
        return file.read_bytes() if file.is_file() else None

    def contents(self) -> dict[date, bytes]:
        """Return the content of each day's file."""
        files = (self.path / "days").glob("*.csv")  # also of a clock that is far behind
        return {date.fromisoformat(file.stem): file.read_bytes() for file in files}

    def checksums(self) -> dict[date, str]:
        """Return the checksum of the last line of each day in the manifest; it may be empty."""
        found = {}
        for line in self._manifest_lines():
            try:
                values = json.loads(line)
                found[date.fromisoformat(values["day"])] = values["sha256"]
            except ValueError:
                continue  # a line that a kill has cut
        return found

    def proved(self) -> dict[date, bytes]:
        """Return the days whose file is the recorded one, or is complete and not recorded."""
        checksums, contents = self.checksums(), self.contents()
        return {
            day: content
            for day, content in contents.items()
            if is_proved(day, content, checksums.get(day, ""))
        }

    def changed_on(self, day: date) -> date:
        """Return the simulated date of the last change to a file."""
        return datetime.fromtimestamp(self.file(day).stat().st_mtime).date()  # noqa: DTZ006 - local

    def touch(self, path: Path) -> None:
        """Give a file the time of the simulated clock; no two changes have the same."""
        self._changes += 1
        noon = datetime.combine(self.clock, datetime.min.time()).replace(hour=12)
        ns = int(noon.timestamp()) * 10**9 + self._changes
        os.utime(path, ns=(ns, ns))

    def write(self, day: date, content: bytes) -> None:
        self.file(day).parent.mkdir(parents=True, exist_ok=True)
        self.file(day).write_bytes(content)
        self.touch(self.file(day))

    def cut_manifest(self, lines: int) -> None:
        """Drop the last lines, and half of the one before."""
        kept = list(self._manifest_lines())[: -lines or None]
        text = "".join(f"{line}\n" for line in kept[:-1]) + "".join(kept[-1:])[:20]
        (self.path / "manifest.jsonl").write_text(text)

    def delete(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    def remove(self) -> None:
        shutil.rmtree(self.path.parent, ignore_errors=True)

    def _manifest_lines(self) -> Iterator[str]:
        path = self.path / "manifest.jsonl"
        yield from path.read_text().splitlines() if path.exists() else ()


def is_proved(day: date, content: bytes, checksum: str) -> bool:
    """Return whether a file has the recorded checksum or, without one, is complete."""
    if checksum:
        return hashlib.sha256(content).hexdigest() == checksum
    return is_complete(day, content)


def is_complete(day: date, content: bytes) -> bool:
    """Return whether a file has the header, whole lines, and only rows of its day.

    An empty file may be a truncated one.
    """
    lines = content[len(HEADER) :].splitlines(keepends=True)
    return content.startswith(HEADER) and all(
        line.startswith(f"{day},".encode()) and line.endswith(b"\n") and line.count(b",") == 1
        for line in lines
    )
