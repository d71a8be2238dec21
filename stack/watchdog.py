"""A helper process that stops a child process when this process ends, even if it was killed."""

import signal
import subprocess
from pathlib import Path

# Reads process ids until the pipe closes, which happens however this process ends.
# `$1` is the signal to send, `$2` the folder to remove, if any.
SCRIPT = """
while read -r line; do pid=$line; done
tries=0
if [ -n "$pid" ] && kill -s "$1" "$pid"; then
    kill -s CONT "$pid"
    while kill -0 "$pid" && [ $((tries += 1)) -lt 100 ]; do sleep 0.1; done
    kill -s KILL "$pid"
fi
[ -z "$2" ] || rm -rf "$2"
"""


class Watchdog:
    """Run a shell that waits for this process's end of a pipe to close."""

    def __init__(self, stop_signal: signal.Signals, folder: Path | None = None) -> None:
        name = stop_signal.name.removeprefix("SIG")
        self._shell = subprocess.Popen(  # noqa: S603  # constant arguments only
            ["/bin/sh", "-c", SCRIPT, "watchdog", name, str(folder or "")],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            text=True,
            start_new_session=True,
        )

    def watch(self, pid: int) -> None:
        """Set the process to stop when this process ends."""
        self._write(str(pid))

    def release(self) -> None:
        """Forget the process: it has ended, and its id may be reused."""
        self._write("")

    def close(self) -> None:
        """Stop the watched process and remove the folder now."""
        self._shell.communicate()

    def _write(self, line: str) -> None:
        if self._shell.stdin is not None:
            self._shell.stdin.write(f"{line}\n")
            self._shell.stdin.flush()
