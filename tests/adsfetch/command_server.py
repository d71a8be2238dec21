"""Run adsfetch commands in forks of a process that has already imported all they need.

The import of the Google client takes longer than most commands. Each line of standard input
is a command as JSON, each line of standard output its exit code.
"""

import gc
import json
import os
import signal
import sys
from importlib import import_module
from typing import Any, NoReturn

MODULES = (
    "adsfetch.cli",
    "adsfetch.google.connection",
    "google.ads.googleads.v26.services.services.google_ads_service",
    "tenacity",
    "tqdm",
)


def main() -> None:
    """Serve until standard input ends."""
    for name in MODULES:
        import_module(name)
    gc.freeze()  # the forks share these objects
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run(json.loads(line))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def run(request: dict[str, Any]) -> NoReturn:
    """Run one command in its folder and environment, with files for its output."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["env"])
    for number, path in ((0, os.devnull), (1, request["out"]), (2, request["err"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), number)
    os.fsync = lambda _descriptor: None  # only a power cut would show the difference
    signal.alarm(request["timeout"])
    sys.argv = ["adsfetch", *request["arguments"]]
    command: Any = import_module("adsfetch.cli")
    command.main()
    raise AssertionError("click always exits")


if __name__ == "__main__":
    main()
