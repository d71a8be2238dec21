"""The load, in a process of its own: a few connections, each asking again when it is answered.

`wrk` is not on every machine. What this one costs for each request is printed, so that a reader
can see that it was not the bottleneck.
"""

import json
import select
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.table import percentile
from stress.http_client import Wire, get

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Rate:
    """What one round found; times in milliseconds, ``own`` in seconds of CPU for each request."""

    per_second: float
    p50: float
    p99: float
    own: float
    hits: float
    failed: int


def measure(port: int, path: str, seconds: float, connections: int) -> Rate:
    """Load one path of a service from another process."""
    words = [sys.executable, "-m", "bench.load", str(port), path, str(seconds), str(connections)]
    done = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True)
    return Rate(**json.loads(done.stdout))


def load(port: int, path: str, seconds: float, connections: int) -> Rate:
    """Ask for ``path`` for so long, and count."""
    words = get(path)
    wires = [Wire(port) for _ in range(connections)]
    began = {wire.socket.fileno(): 0.0 for wire in wires}
    by_number = {wire.socket.fileno(): wire for wire in wires}
    poll = select.epoll()
    times: list[float] = []
    failed = hits = 0
    clock = time.perf_counter
    own = time.process_time()
    start = clock()
    stop = start + seconds
    for number, wire in by_number.items():
        poll.register(number, select.EPOLLIN)
        began[number] = clock()
        wire.send(words)
    while clock() < stop:
        for number, _ in poll.poll(1.0):
            wire = by_number[number]
            if not wire.feed():
                continue
            times.append(clock() - began[number])
            failed += wire.status != 200
            hits += b"; hit" in wire.head
            began[number] = clock()
            wire.send(words)
    took = clock() - start
    own = (time.process_time() - own) / len(times)
    for wire in wires:
        wire.close()
    times.sort()
    half, most = (percentile(times, at) * 1000 for at in (50, 99))
    return Rate(len(times) / took, half, most, own, hits / len(times), failed)


if __name__ == "__main__":
    port, path, seconds, connections = sys.argv[1:]
    print(json.dumps(asdict(load(int(port), path, float(seconds), int(connections)))))
