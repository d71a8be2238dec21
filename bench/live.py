"""New reviews to thousands of subscribers, and to others beside one that does not read."""

from bench import fan_out, slow_reader
from bench.subscribers import raise_file_limit
from stack.servers import Postgres, Redis
from stress.data import fill


def run(quick: bool) -> None:
    """Measure each part on a database of its own."""
    raise_file_limit()
    parts = (fan_out.measure, fan_out.measure_many, slow_reader.measure)
    with Postgres() as postgres, Redis() as redis:
        for number, measure in enumerate(parts, 1):
            url = postgres.new_database(f"live{number}")
            fill(url, books=10, reviews=0)
            redis_url = redis.url.removesuffix("0") + str(number)
            measure({"DATABASE_URL": url, "REDIS_URL": redis_url}, quick)
