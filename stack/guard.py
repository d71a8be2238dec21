"""What ends a child process when we are gone, even if we were killed."""

import signal
import subprocess
from pathlib import Path

# It hears the child's process id, then the end of the pipe, which comes however we end.
# `$1` is the signal to send, `$2` the folder to remove, if there is one.
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


class Guard:
    """Stand beside a child process: a shell that waits for our end of a pipe to close."""

    def __init__(self, gently: signal.Signals, folder: Path | None = None) -> None:
        self._shell = subprocess.Popen(  # noqa: S603  # our own words only
            ["/bin/sh", "-c", SCRIPT, "guard", gently.name.removeprefix("SIG"), str(folder or "")],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            text=True,
            start_new_session=True,
        )

    def watch(self, pid: int) -> None:
        """Name the process to end when we are gone."""
        self._say(str(pid))

    def rest(self) -> None:
        """Say that the process has ended, and that its number may be another's now."""
        self._say("")

    def close(self) -> None:
        """End what is watched and remove the folder now."""
        self._shell.communicate()

    def _say(self, line: str) -> None:
        if self._shell.stdin is not None:
            self._shell.stdin.write(f"{line}\n")
            self._shell.stdin.flush()
