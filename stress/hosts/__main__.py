"""`make hosts`, or `python -m stress.hosts [--seconds N] [--seed N] [--only FAULT]`.

The run gets a network, mounts and process ids of its own. They end with its first process, and
with them every server and interface, whatever ends it.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from stack.__main__ import exit_on_signal, python
from stack.unprivileged import is_root
from stress.service import ROOT

PROGRAMS = {
    "ip": "iproute2",
    "nft": "nftables",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "haproxy": "haproxy",
    "pgbouncer": "pgbouncer",
}
"""What a run needs beside Python packages, and the Debian packages with it."""
# The run also ends if this process is killed.
ISOLATE = ("setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid")
AS_INIT = ("--fork", "--kill-child", "--mount-proc")


def main() -> int:
    """Start the run in namespaces of its own; return its exit code."""
    if not is_root():
        raise SystemExit("hosts: network namespaces need root")
    missing = sorted({PROGRAMS[name] for name in PROGRAMS if shutil.which(name) is None})
    if missing:
        raise SystemExit(f"hosts: missing, apt-get install {' '.join(missing)}")
    signal.signal(signal.SIGTERM, exit_on_signal)
    with TemporaryDirectory(prefix="bookstall-hosts-") as folder:
        Path(folder).chmod(0o711)  # PostgreSQL runs as another user
        command = [*ISOLATE, *AS_INIT, *python("stress.hosts.run", *sys.argv[1:])]
        environment = {**os.environ, "TMPDIR": folder}
        try:
            return subprocess.run(command, check=False, env=environment, cwd=ROOT).returncode
        except KeyboardInterrupt:
            return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
