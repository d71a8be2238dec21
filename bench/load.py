"""A load generator in a process of its own: a few connections, one request at a time on each.

It prints what it costs for each request, so that a reader can see that it is not the bottleneck.
"""

import json
import select
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

from stress.http_client import HttpConnection, get
from stress.service import ROOT
from stress.stats import percentile


@dataclass
class Rate:
    """The result of one round, with times in milliseconds."""

    per_second: float
    p50: float
    p99: float
    own_cpu: float
    """Seconds of CPU of the load generator for each request."""
    hits: float
    """The part of the responses that came from the cache."""
    failed: int


def measure(port: int, path: str, seconds: float, connections: int) -> Rate:
    """Load one path of a service from another process."""
    arguments = [str(port), path, str(seconds), str(connections)]
    command = [sys.executable, "-m", "bench.load", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return Rate(**json.loads(done.stdout))


def generate_load(port: int, path: str, seconds: float, connections: int) -> Rate:
    """Request ``path`` for so many seconds, and count the responses."""
    message = get(path)
    by_fd = {
        connection.socket.fileno(): connection
        for connection in (HttpConnection(port) for _ in range(connections))
    }
    began: dict[int, float] = {}
    poll = select.epoll()
    times: list[float] = []
    failed = hits = 0
    clock = time.perf_counter
    own_cpu = time.process_time()
    start = clock()
    stop = start + seconds
    for fd, connection in by_fd.items():
        poll.register(fd, select.EPOLLIN)
        began[fd] = clock()
        connection.send(message)
    while clock() < stop:
        for fd, _ in poll.poll(1.0):
            connection = by_fd[fd]
            if not connection.receive():
                continue
            times.append(clock() - began[fd])
            failed += connection.status != 200
            hits += b"; hit" in connection.head
            began[fd] = clock()
            connection.send(message)
    elapsed = clock() - start
    own_cpu = (time.process_time() - own_cpu) / len(times)
    for connection in by_fd.values():
        connection.close()
    times.sort()
    p50, p99 = (percentile(times, percent) * 1000 for percent in (50, 99))
    return Rate(len(times) / elapsed, p50, p99, own_cpu, hits / len(times), failed)


if __name__ == "__main__":
    port, path, seconds, connections = sys.argv[1:]
    print(json.dumps(asdict(generate_load(int(port), path, float(seconds), int(connections)))))
