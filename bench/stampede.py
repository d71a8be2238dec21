"""How many queries reach the database when many ask for one cold key at once."""

import time
from collections import Counter

from sqlalchemy import text

from stack.servers import Postgres, Redis
from stress.data import engine_of
from stress.http_client import Wire, get

REQUESTS = 200
PATH = "/books?limit=37"
MARK = "LIMIT 38"


def run(port: int, postgres: Postgres, database: str, redis: Redis) -> None:
    """Send them, and count the statements in the server's log."""
    _log_statements(database)
    redis.wipe()
    from_here = postgres.log.stat().st_size
    wires = [Wire(port) for _ in range(REQUESTS)]
    statuses: Counter[int] = Counter()
    told: Counter[str] = Counter()
    with engine_of(database).begin() as connection:
        # The first query waits until all requests are there.
        connection.execute(text("LOCK TABLE book IN ACCESS EXCLUSIVE MODE"))
        for wire in wires:
            wire.send(get(PATH))
        time.sleep(0.3)
    for wire in wires:
        while not wire.feed():
            pass
        statuses[wire.status] += 1
        told[wire.cache] += 1
        wire.close()
    time.sleep(0.5)  # for the log
    queries = postgres.log.read_bytes()[from_here:].count(MARK.encode())
    print(f"\n{REQUESTS} simultaneous requests for one cold key, 2 workers: {queries} queries; ")
    print(f"answers {dict(statuses)}; {dict(told)}")
    print(f"target, at most one for each worker: {'met' if 1 <= queries <= 2 else 'MISSED'}")


def _log_statements(database: str) -> None:
    with engine_of(database).connect() as connection:
        free = connection.execution_options(isolation_level="AUTOCOMMIT")
        free.execute(text("ALTER SYSTEM SET log_statement = 'all'"))
        free.execute(text("SELECT pg_reload_conf()"))
    time.sleep(0.5)
