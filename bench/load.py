"""A load generator in a process of its own: some connections, one request at a time on each.

It prints the CPU time that the server has used, and what each request costs itself, so that a
reader can see that it is not the bottleneck.
"""

import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from itertools import cycle, repeat
from pathlib import Path

from stress.http_client import HttpConnection, get
from stress.service import ROOT
from stress.stats import percentile

CLIENTS = 1_000
SETTLE_SECONDS = 0.2
"""Log records and metrics are written together: some CPU is used after the last response."""


@dataclass(frozen=True)
class Load:
    """What is requested, and for how many seconds."""

    pid: int
    """The process of the server."""
    port: int
    path: str
    seconds: float
    connections: int
    first_client: str = ""
    """If given, the requests come by turns from CLIENTS addresses, which begin with this one."""

    def messages(self) -> Iterator[bytes]:
        """Return the requests, without end."""
        if not self.first_client:
            return repeat(get(self.path))
        first = ip_address(self.first_client)
        addresses = (str(first + number) for number in range(CLIENTS))
        return cycle([get(self.path, X_Forwarded_For=address) for address in addresses])


@dataclass
class Rate:
    """The result of one round, with times in milliseconds."""

    per_second: float
    per_cpu_second: float
    """Requests for each second that the server ran on a CPU."""
    p50: float
    p99: float
    own_cpu: float
    """Seconds of CPU of the load generator for each request."""
    hits: float
    """The part of the responses that came from the cache."""
    failed: int


def measure(load: Load) -> Rate:
    """Load a server from another process."""
    command = [sys.executable, "-m", "bench.load", json.dumps(asdict(load))]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return Rate(**json.loads(done.stdout))


def generate(load: Load) -> Rate:
    """Send the requests, and count the responses."""
    messages = load.messages()
    by_fd = {
        connection.socket.fileno(): connection
        for connection in (HttpConnection(load.port) for _ in range(load.connections))
    }
    began: dict[int, float] = {}
    poll = select.epoll()
    times: list[float] = []
    failed = hits = 0
    for connection in by_fd.values():
        connection.request(next(messages))
    cpu = cpu_seconds(load.pid)
    clock = time.perf_counter
    own_cpu = time.process_time()
    start = clock()
    stop = start + load.seconds
    for fd, connection in by_fd.items():
        poll.register(fd, select.EPOLLIN)
        began[fd] = clock()
        connection.send(next(messages))
    while clock() < stop or not times:
        for fd, _ in poll.poll(1.0):
            connection = by_fd[fd]
            if not connection.receive():
                continue
            times.append(clock() - began[fd])
            failed += connection.status != 200
            hits += b"; hit" in connection.head
            began[fd] = clock()
            connection.send(next(messages))
    elapsed = clock() - start
    own_cpu = (time.process_time() - own_cpu) / len(times)
    time.sleep(SETTLE_SECONDS)
    cpu = cpu_seconds(load.pid) - cpu
    for connection in by_fd.values():
        connection.close()
    times.sort()
    p50, p99 = (percentile(times, percent) * 1000 for percent in (50, 99))
    count = len(times)
    return Rate(count / elapsed, count / cpu, p50, p99, own_cpu, hits / count, failed)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process with all its threads and children, in seconds."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    clock = ~pid << 3 | 2  # as clock_getcpuclockid(3) computes it on Linux; exact, unlike stat
    return time.clock_gettime(clock) + sum(map(cpu_seconds, map(int, children)))


if __name__ == "__main__":
    print(json.dumps(asdict(generate(Load(**json.loads(sys.argv[1]))))))
