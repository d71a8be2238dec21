"""How many queries reach the database when many clients request one uncached key at once."""

import time
from collections import Counter

from sqlalchemy import text

from stack.servers import Postgres, Redis
from stress.data import create_unpooled_engine
from stress.http_client import HttpConnection, get

REQUESTS = 200
PATH = "/books?limit=37"
QUERY_TEXT = b"LIMIT 38"


def run(port: int, postgres: Postgres, database: str, redis: Redis) -> None:
    """Send the requests, and count the queries in the log of PostgreSQL."""
    _log_statements(database)
    redis.wipe()
    log_start = postgres.log.stat().st_size
    connections = [HttpConnection(port) for _ in range(REQUESTS)]
    statuses: Counter[int] = Counter()
    caches: Counter[str] = Counter()
    with create_unpooled_engine(database).begin() as transaction:
        # The first query waits until all requests have arrived.
        transaction.execute(text("LOCK TABLE book IN ACCESS EXCLUSIVE MODE"))
        for connection in connections:
            connection.send(get(PATH))
        time.sleep(0.3)
    for connection in connections:
        while not connection.receive():
            pass
        statuses[connection.status] += 1
        caches[connection.cache] += 1
        connection.close()
    time.sleep(0.5)  # for the log
    queries = postgres.log.read_bytes()[log_start:].count(QUERY_TEXT)
    print(f"\n{REQUESTS} simultaneous requests for one uncached key, 2 workers: {queries} queries;")
    print(f"statuses {dict(statuses)}; {dict(caches)}")
    print(f"target, at most one for each worker: {'met' if 1 <= queries <= 2 else 'MISSED'}")


def _log_statements(database: str) -> None:
    with create_unpooled_engine(database).connect() as connection:
        autocommit = connection.execution_options(isolation_level="AUTOCOMMIT")
        autocommit.execute(text("ALTER SYSTEM SET log_statement = 'all'"))
        autocommit.execute(text("SELECT pg_reload_conf()"))
    time.sleep(0.5)
