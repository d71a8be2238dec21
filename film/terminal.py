"""A real shell on a pseudo-terminal, with its screen in memory."""

import fcntl
import html
import os
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from threading import Lock, Thread

import pyte
from pyte.screens import Char

from film.processes import end, of_session

COLUMNS = 90
# The shell reports with invisible sequences when a command starts, and when the prompt is back.
STARTED = "\x1b]133;C\a"
ENDED = re.compile(r"\x1b\]133;D;(\d+)\a")
# The prompt starts on a line of its own: the spaces wrap, unless the cursor is on the left.
FRESH_LINE = " " * (COLUMNS - 1) + "\r"
RC = rf"""
PROMPT_COMMAND='printf "%{COLUMNS - 1}s\\r"'
PS0='\e]133;C\a'
PS1='\[\e]133;D;$?\a\]$ '
HISTFILE=
bind 'set enable-bracketed-paste off'
"""
# A new session has no terminal until a process of it claims one. Control+C works also if the film
# itself runs in the background of a script, which ignores it.
CLAIM = (
    "import fcntl, os, signal, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "signal.signal(signal.SIGINT, signal.SIG_DFL);"
    "os.execvp('bash', ['bash', '--noprofile', '--rcfile', sys.argv[1], '-i'])"
)
SEQUENCE = re.compile(r"\x1b\][^\a]*\a|\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[()].|\x1b[=>78]")
KEYS = {"Enter": "\r", "Control+C": "\x03", "Control+D": "\x04", "Escape": "\x1b"}


class Terminal:
    """Run bash in ``folder``; a thread reads what it prints."""

    def __init__(self, folder: Path, environment: Mapping[str, str], rows: int) -> None:
        self._screen = pyte.Screen(COLUMNS, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = Lock()
        self._bytes = bytearray()
        self._master, slave = os.openpty()
        size = struct.pack("HHHH", rows, COLUMNS, 0, 0)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
        rc = folder.parent / ".bashrc"
        rc.write_text(RC)
        self._shell = subprocess.Popen(  # noqa: S603  # constant arguments only
            [sys.executable, "-I", "-c", CLAIM, str(rc)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env={**environment, "TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(slave)
        Thread(target=self._read, daemon=True).start()

    @property
    def text(self) -> str:
        """Return all that was printed so far, with the control sequences."""
        with self._lock:
            return self._bytes.decode(errors="replace")

    @property
    def busy(self) -> bool:
        """Return whether a command runs in the foreground, or the shell has not started."""
        started, ended = self.text.rfind(STARTED), self.text.rfind("\x1b]133;D;")
        return ended <= started

    @property
    def commands(self) -> int:
        """Return how many commands were started."""
        return self.text.count(STARTED)

    @property
    def status(self) -> int:
        """Return the exit code of the last command."""
        return int(ENDED.findall(self.text)[-1])

    def output(self, start: int) -> str:
        """Return what was printed from ``start`` in ``text`` until the prompt, as plain text."""
        printed = ENDED.split(self.text[start:])[0]
        text = SEQUENCE.sub("", printed).removesuffix(FRESH_LINE)
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def send(self, text: str) -> None:
        """Send text as if it was typed."""
        os.write(self._master, text.encode())

    def press(self, key: str) -> None:
        """Press a key, by its name."""
        self.send(KEYS[key])

    def lines(self) -> tuple[str, ...]:
        """Return the lines of the screen as HTML."""
        with self._lock:
            cursor = self._screen.cursor
            return tuple(
                line(self._screen, row, cursor.x if row == cursor.y else None)
                for row in range(self._screen.lines)
            )

    def close(self) -> None:
        """End all that the shell runs, and the shell, which ignores SIGTERM."""
        end(of_session(self._shell.pid))
        self._shell.kill()
        self._shell.wait()

    def _read(self) -> None:
        while self._shell.poll() is None:
            ready, _, _ = select.select([self._master], [], [], 0.2)
            if not ready:
                continue
            try:
                data = os.read(self._master, 65536)
            except OSError:  # Linux reports so that the other end is closed
                break
            with self._lock:
                self._bytes += data
                self._stream.feed(data)
        os.close(self._master)


def line(screen: pyte.Screen, row: int, cursor: int | None) -> str:
    """Return one line as HTML: runs of characters of the same look, each in a span."""
    cells = screen.buffer[row]
    looks = [(look(cells[x], here=x == cursor), cells[x].data) for x in range(screen.columns)]
    return "".join(spans(looks)).rstrip()


def spans(looks: list[tuple[str, str]]) -> Iterator[str]:
    """Yield a span for each run."""
    for style, run in groupby(looks, key=lambda pair: pair[0]):
        text = html.escape("".join(data for _, data in run), quote=False)
        yield f'<span class="{style}">{text}</span>' if style else text


def look(cell: Char, *, here: bool) -> str:
    """Return the classes of a cell."""
    foreground, background = cell.fg, cell.bg
    if cell.reverse:
        foreground, background = background, foreground
    names = [f"f-{foreground}"] if foreground != "default" or cell.reverse else []
    names += [f"b-{background}"] if background != "default" or cell.reverse else []
    names += ["bold"] if cell.bold else []
    names += ["cursor"] if here else []
    return " ".join(names)
