"""New reviews on the line: thousands of subscribers, one that does not read, and REST beside."""

from bench import entries, fan_out, many_subscribers, slow_reader
from bench.subscribers import raise_limit
from stack.servers import Postgres, Redis
from stress.data import fill


def run(quick: bool) -> None:
    """Measure all of it on one PostgreSQL and one Redis; each service has its own part of both."""
    raise_limit()
    with Postgres() as postgres, Redis() as redis:

        def place(number: int, books: int = 10) -> dict[str, str]:
            url = postgres.new_database(f"live{number}")
            fill(url, books=books, reviews=0)
            return {"DATABASE_URL": url, "REDIS_URL": redis.url.removesuffix("0") + str(number)}

        fan_out.measure(place(1), place(2), quick)
        many_subscribers.measure(place(3), quick)
        slow_reader.measure(place(4), quick)
        entries.measure(place(5, books=2_000), quick)
