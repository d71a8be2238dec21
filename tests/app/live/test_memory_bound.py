"""CACHE_MEMORY_MIB, in a worker whose clients read more URLs than fit into it."""

from contextlib import closing
from pathlib import Path

from sqlalchemy import insert

from inventory.models import Product
from stress.data import PRODUCT, create_unpooled_engine
from stress.http_client import HttpConnection, get

ROWS = 100
MIB = 2
FIRST, ALL = 300, 2_000
MORE_MIB = 9
"""More than the setting, and less than half of what the bodies after the first ones take."""


def resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1024**2


def rare(number: int) -> bytes:
    """Return a request for a list of all products that no other number asks for."""
    return get(f"/products/search?limit={ROWS}&max_price={100 + number}")


def test_many_urls_take_no_more_than_the_setting_and_displace_no_frequent_ones(
    serve_live, sqlite_database
):
    with create_unpooled_engine(sqlite_database).begin() as connection:
        rows = [{**PRODUCT, "sku": f"SKU-{number}"} for number in range(ROWS)]
        connection.execute(insert(Product), rows)
    service = serve_live(
        DATABASE_URL=sqlite_database, CACHE_MEMORY_MIB=str(MIB), WEB_CONCURRENCY="1"
    )
    [pid] = service.workers()
    with closing(HttpConnection(service.port)) as connection:
        size, misses = 0, []
        for number in range(ALL):
            response = connection.request(rare(number))
            assert response.status == 200
            size += len(response.body) * (number > FIRST)
            if number % 10 == 0:
                path = f"/products/{number // 10 % 5 + 1}"
                if not connection.request(get(path)).is_memory_hit:
                    misses.append(path)
            if number == FIRST:
                before = resident_mib(pid)
        after = resident_mib(pid)
        assert size / 1024**2 > 2 * MORE_MIB
        assert after - before < MORE_MIB
        assert sorted(misses) == [f"/products/{number}" for number in range(1, 6)]
        assert connection.request(rare(ALL - 1)).is_memory_hit
        assert not connection.request(rare(0)).is_memory_hit
