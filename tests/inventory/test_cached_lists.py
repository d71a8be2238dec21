"""Lists of products in the cache: which writes leave them valid, and that none is ever stale."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from sqlalchemy import event

from app.cache import response_cache
from app.cache.entry import Entry
from app.db.engine import autocommit_engine

HIT = "bookstall; hit"
STORED = "bookstall; fwd=miss; stored"
CONCURRENT_WRITE = "bookstall; fwd=miss; detail=concurrent-write"
LISTS = {
    "first": "/products?limit=1",  # shows product 1
    "first, total": "/products?limit=1&include_total=true",
    "by name": "/products?limit=1&sort=name",  # shows 3
    "by price": "/products?limit=1&sort=-price",  # shows 3
    "named": "/products/search?name=lamp",  # shows 1 and 2
    "two letters": "/products/search?name=la&limit=1",  # shows 1
    "in range": "/products/search?max_price=15.00",  # shows 1
    "named, in range": "/products/search?name=lamp&min_price=15.00",  # shows 2
    "range, total": "/products/search?min_price=25.00&include_total=true",  # shows 3
    "empty": "/products/search?name=nothing",
    "empty range": "/products/search?min_price=900.00",
}
PRICES = {"by price", "in range", "named, in range", "range, total", "empty range"}
NAMES = {"by name", "named", "two letters", "named, in range", "empty"}
OF_FIRST = {"first", "first, total", "named", "two letters", "in range"}
OF_SECOND = {"named", "named, in range"}
ALL = set(LISTS)


@pytest.fixture
def settings(fresh_redis):
    """A key of the test's own, and so entries of its own: the database is used again."""
    return {"redis_url": fresh_redis, "secret_key": secrets.token_hex()}


@pytest.fixture
def app(make_app, database, settings):
    return make_app(database, **settings)


@pytest.fixture
def uncached(make_app, database, settings):
    """A client of a worker on the same database, without a cache."""
    return make_app(database, secret_key=settings["secret_key"]).test_client()


@pytest.fixture
def writer(make_app, database, settings):
    """A client of another worker on the same database and Redis."""
    return make_app(database, **settings).test_client()


@pytest.fixture
def products(product):
    """Three products with their ids."""
    fields = [("Lamp, red", "10.00"), ("Lamp, blue", "20.00"), ("Chair", "30.00")]
    return [product(name=name, price=price, stock_level=5) for name, price in fields]


def adjust(client, product_id):
    path = f"/products/{product_id}/stock-adjustments"
    assert client.post(path, json={"delta": 1}).status_code == 201


def hold(client, product_id):
    body = {"quantity": 2, "expires_in": 900}
    assert client.post(f"/products/{product_id}/holds", json=body).status_code == 201


def change(client, product_id, **fields):
    assert client.patch(f"/products/{product_id}", json=fields).status_code == 200


def load(app, path, line):
    path.write_text(f"sku,name,price,stock_level\n{line}\n")
    result = app.test_cli_runner().invoke(args=["products", "load", str(path)])
    assert result.exit_code == 0, result.output


WRITES = {
    "stock of the first": (lambda client, ids: adjust(client, ids[0]), OF_FIRST),
    "stock of the second": (lambda client, ids: adjust(client, ids[1]), OF_SECOND),
    "stock level set": (lambda client, ids: change(client, ids[1], stock_level=9), OF_SECOND),
    "price": (lambda client, ids: change(client, ids[0], price="11.00"), OF_FIRST | PRICES),
    "price leaves range": (
        lambda client, ids: change(client, ids[0], price="950.00"),
        OF_FIRST | PRICES,
    ),
    "price enters range": (
        lambda client, ids: change(client, ids[1], price="1.00"),
        OF_SECOND | PRICES,
    ),
    "price and stock": (
        lambda client, ids: change(client, ids[1], price="1.00", stock_level=0),
        OF_SECOND | PRICES,
    ),
    "name": (lambda client, ids: change(client, ids[0], name="Lamp, green"), OF_FIRST | NAMES),
    "sku": (lambda client, ids: change(client, ids[1], sku="other"), OF_SECOND),
    "archived": (lambda client, ids: change(client, ids[2], archived=True), ALL),
    "hold": (lambda client, ids: hold(client, ids[0]), OF_FIRST),
    "the same price": (lambda client, ids: change(client, ids[0], price="10.00"), set()),
    "new product": (
        lambda client, ids: client.post(
            "/products", json={"sku": "new", "name": "Another lamp", "price": "12.00"}
        ),
        ALL,
    ),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_write_invalidates_the_lists_that_it_can_change_and_no_others(
    client, uncached, writer, products, name
):
    write, changed = WRITES[name]
    for path in LISTS.values():
        assert [client.get(path).headers["Cache-Status"] for _ in range(2)] == [STORED, HIT]
    write(writer, products)
    for list_name, path in LISTS.items():
        response = client.get(path)
        assert response.json == uncached.get(path).json, path
        assert response.headers["Cache-Status"] == (STORED if list_name in changed else HIT), path
    for path in LISTS.values():
        assert client.get(path).headers["Cache-Status"] == HIT, path


@pytest.mark.parametrize("name", WRITES)
def test_without_redis_the_memory_of_a_process_depends_on_the_same_tags(
    make_app, sqlite_database, name
):
    """Its log of changes is the outbox, of this and of all other processes."""
    client, writer = (make_app(sqlite_database).test_client() for _ in range(2))
    uncached = make_app(sqlite_database, cache_memory_mib=0).test_client()
    fields = [("Lamp, red", "10.00"), ("Lamp, blue", "20.00"), ("Chair", "30.00")]
    ids = [
        writer.post(
            "/products", json={"sku": title, "name": title, "price": price, "stock_level": 5}
        ).json["id"]
        for title, price in fields
    ]
    write, changed = WRITES[name]
    for path in LISTS.values():
        client.get(path)
        assert client.get(path).headers["Cache-Status"].startswith(HIT)
    write(writer, ids)
    for list_name, path in LISTS.items():
        response = client.get(path)
        assert response.json == uncached.get(path).json, path
        is_hit = response.headers["Cache-Status"].startswith(HIT)
        assert is_hit == (list_name not in changed), path


@pytest.mark.parametrize(
    "line",
    ["sku-1,,,7", "sku-2,,950,", "sku-2,A lamp,,", "sku-3,Lamp,,", "new,Lamp,3,"],
    ids=["stock", "price", "name", "name enters search", "new product"],
)
@pytest.mark.usefixtures("products")
def test_a_load_invalidates_all_lists(client, app, uncached, path, line):
    for url in LISTS.values():
        client.get(url)
    load(app, path, line)
    for url in LISTS.values():
        response = client.get(url)
        assert response.json == uncached.get(url).json, url
        assert response.headers["Cache-Status"] == STORED


def test_the_second_page_ends_where_the_first_row_of_the_next_begins(client, writer, products):
    """The cursor is made from the last row that is shown, and that one has a tag."""
    first = client.get("/products?limit=1&sort=-price").json
    second = f"/products?limit=1&sort=-price&cursor={first['next_cursor']}"
    assert [item["id"] for item in client.get(second).json["items"]] == [products[1]]
    adjust(writer, products[0])
    adjust(writer, products[2])
    assert client.get(second).headers["Cache-Status"] == HIT
    change(writer, products[0], price="25.00")
    assert [item["id"] for item in client.get(second).json["items"]] == [products[0]]


def pause_after_query(app):
    """Pause the first read of products after its query, until the returned event is set."""
    paused, resume = Event(), Event()

    def pause(_c, _cursor, statement, *_):
        if "FROM product" in statement and not paused.is_set():
            paused.set()
            assert resume.wait(60)

    with app.app_context():
        event.listen(autocommit_engine(), "after_cursor_execute", pause)
    return paused, resume


def read_during(app, write, path="/products?limit=1"):
    """Read a list; ``write`` happens between its query and the end of its view."""
    paused, resume = pause_after_query(app)
    with ThreadPoolExecutor() as pool:
        reading = pool.submit(app.test_client().get, path)
        assert paused.wait(60)
        write()
        resume.set()
        return reading.result(60)


@pytest.mark.parametrize("row", [0, 1], ids=["shown", "not shown"])
def test_a_write_between_the_query_and_the_versions_of_the_rows_prevents_storing(
    app, client, writer, products, row
):
    response = read_during(app, lambda: adjust(writer, products[row]))
    assert response.headers["Cache-Status"] == CONCURRENT_WRITE
    response = client.get("/products?limit=1")
    assert response.headers["Cache-Status"] == STORED
    assert response.json["items"][0]["stock_level"] == (5 if row else 6)


def test_without_the_comparison_of_the_guards_that_read_would_stay(
    app, client, writer, products, monkeypatch
):
    """The wrong order, to show that the test above can fail."""
    monkeypatch.setattr(response_cache, "is_unchanged", lambda *_: True)
    response = read_during(app, lambda: adjust(writer, products[0]))
    assert response.headers["Cache-Status"] == STORED
    stale = client.get("/products?limit=1")
    assert stale.headers["Cache-Status"] == HIT
    assert stale.json["items"][0]["stock_level"] == 5


def test_a_write_after_the_versions_of_the_rows_makes_the_stored_response_invalid(
    client, writer, products, monkeypatch
):
    encode, written = Entry.encode, []

    def write_first(entry):
        if not written:
            written.append(adjust(writer, products[0]))
        return encode(entry)

    monkeypatch.setattr(Entry, "encode", write_first)
    assert client.get("/products?limit=1").headers["Cache-Status"] == STORED
    response = client.get("/products?limit=1")
    assert response.headers["Cache-Status"] == STORED
    assert response.json["items"][0]["stock_level"] == 6


def test_random_writes_and_reads_show_what_the_database_has(client, uncached, writer, products):
    """Every list is compared with the database after each of many random writes."""
    random = secrets.SystemRandom()
    for number in range(40):
        chosen = random.choice(products)
        steps = (
            lambda chosen=chosen: adjust(writer, chosen),
            lambda chosen=chosen: change(
                writer, chosen, price=f"{random.choice([5, 15, 25, 950])}.00"
            ),
            lambda number=number: writer.post(
                "/products", json={"sku": f"r{number}", "name": "Lamp, new", "price": "14.00"}
            ),
        )
        random.choices(steps, [6, 3, 1])[0]()
        for path in random.sample(list(LISTS.values()), 5):
            assert client.get(path).json == uncached.get(path).json, path
