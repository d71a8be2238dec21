"""The change feed: what events cost writers, how late they are, and a thousand followers."""

from bench import event_delays, event_rates, fan_out
from bench.subscribers import raise_file_limit
from stack.servers import Postgres, Redis
from stress.data import fill


def run(quick: bool) -> None:
    """Measure each part on servers of its own."""
    raise_file_limit()
    event_rates.measure(quick)
    event_delays.measure(quick)
    with Postgres() as postgres, Redis() as redis:
        url = postgres.new_database("followers")
        fill(url, books=10, reviews=0)
        fan_out.measure({"DATABASE_URL": url, "REDIS_URL": redis.url}, quick, changes=True)
