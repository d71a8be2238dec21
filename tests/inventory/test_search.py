from functools import partial

import pytest
from sqlalchemy import event, text

from app.api import scanning
from app.db.engine import autocommit_engine
from app.extensions import db


def names(client, query):
    response = client.get(f"/products/search?{query}")
    assert response.status_code == 200, response.json
    return [item["name"] for item in response.json["items"]]


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("lamp", ["Lamp", "Table LAMP"]),
        ("LAMP", ["Lamp", "Table LAMP"]),
        ("able la", ["Table LAMP"]),
        ("äpfel", ['ÄPFEL 6" 100%']),
        ("apfel", []),
        ("strasse", ["Straße_12"]),
        ("STRAßE", ["Straße_12"]),
        ("日本語", ["日本語の本"]),
        ("本", ["日本語の本"]),
        ("la", ["Lamp", "Table LAMP", "back\\slash / it's"]),
        ("%", ['ÄPFEL 6" 100%']),
        ("_", ["Straße_12"]),
        ("\\", ["back\\slash / it's"]),
        ("/", ["back\\slash / it's"]),
        ("100%", ['ÄPFEL 6" 100%']),
        ("10%", []),
        ("e_1", ["Straße_12"]),
        ("ße_12", ["Straße_12"]),
        ('6" 100', ['ÄPFEL 6" 100%']),
        ("it's", ["back\\slash / it's"]),
        ("back\\slash", ["back\\slash / it's"]),
        ("slash / it", ["back\\slash / it's"]),
        ("lamp OR apfel", []),
        ('"lamp"', []),
        ("lam*", []),
        ("no break", ["No\u00a0break hy\u00adphen"]),
        ("HYPHEN", ["No\u00a0break hy\u00adphen"]),
        ("hy\u00adph", ["No\u00a0break hy\u00adphen"]),
        ("y\u200bp", ["No\u00a0break hy\u00adphen"]),
        ("\u03a4\u0391\u0399\u0308\u0301\u0396\u03a9", ["\u03a4\u03b1\u0390\u03b6\u03c9"]),
        ("\u0399\u0308\u0301", ["\u03a4\u03b1\u0390\u03b6\u03c9"]),
    ],
)
def test_any_part_of_a_name_is_found_in_any_case_and_every_character_is_literal(
    client, product, part, found
):
    for name in (
        "Lamp",
        "Table LAMP",
        'Äpfel 6" 100%',
        "Straße_12",
        "日本語の本",
        "back\\slash / it's",
        "No\u00a0break hy\u00adphen",
        "\u03a4\u03b1\u0390\u03b6\u03c9",
    ):
        product(name=name.replace("Äpfel", "ÄPFEL"))
    response = client.get("/products/search", query_string={"name": part})
    assert [item["name"] for item in response.json["items"]] == found


def test_the_search_respects_price_bounds(client, product):
    for price in ("0", "9.99", "10", "19.99", "20", "20.01"):
        product(name=f"Lamp {price}", price=price)
    assert names(client, "min_price=10&max_price=20") == ["Lamp 10", "Lamp 19.99", "Lamp 20"]
    assert names(client, "max_price=9.99&sort=-price") == ["Lamp 9.99", "Lamp 0"]
    assert names(client, "name=lamp%2020&max_price=20") == ["Lamp 20"]
    assert names(client, "name=la&min_price=20&sort=-price") == ["Lamp 20.01", "Lamp 20"]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("", ""),
        ("sort=price", ""),
        ("min_price=2&max_price=1", "/max_price"),
        ("min_price=1.005", "/min_price"),
        ("min_price=-1", "/min_price"),
        ("min_price=1e2", "/min_price"),
        ("name=", "/name"),
        ("name=%20", "/name"),
        ("name=%C2%AD", "/name"),
        ("name=%E3%85%A4%E2%A0%80", "/name"),
        ("name=la&include_total=true", "/include_total"),
        ("q=lamp", "/q"),
    ],
)
def test_an_invalid_search_is_rejected(client, query, pointer):
    response = client.get(f"/products/search?{query}")
    assert response.status_code == 422
    assert response.json["errors"][0]["pointer"] == pointer


def test_the_search_reflects_renamed_and_deleted_products(app, client, product):
    old, gone = product(name="Old lamp"), product(name="Gone lamp")
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text(f"UPDATE product SET name = 'N', folded = 'new' WHERE id = {old}"))
        connection.execute(text(f"DELETE FROM stock_adjustment WHERE product_id = {gone}"))
        connection.execute(text(f"DELETE FROM product WHERE id = {gone}"))
    assert names(client, "name=lamp") == []
    assert names(client, "name=new") == ["N"]


@pytest.mark.parametrize("sort", ["id", "name", "-name", "price", "-price"])
@pytest.mark.parametrize("part", ["lamp", "la"])
def test_the_pages_of_a_search_contain_each_match_once(client, product, monkeypatch, sort, part):
    monkeypatch.setattr(scanning, "MAX_SCANNED_ROWS", 7)
    expected = {product(name=f"Lamp {n % 5}", price=n % 4) for n in range(20)}
    for number in range(30):
        product(name=f"Chair {number}", price=number % 4)
    found, cursor, pages = [], "", 0
    while cursor is not None:
        more = f"&cursor={cursor}" if cursor else ""
        page = client.get(f"/products/search?name={part}&sort={sort}&limit=6{more}").json
        found += [item["id"] for item in page["items"]]
        cursor, pages = page["next_cursor"], pages + 1
        assert len(page["items"]) <= 6
    assert sorted(found) == sorted(expected)
    assert pages >= (8 if part == "la" else 4)


def test_the_total_counts_all_matches(client, product):
    for number in range(5):
        product(name=f"Lamp {number}", price=number)
    page = client.get("/products/search?name=lamp&max_price=3&limit=2&include_total=true").json
    assert (len(page["items"]), page["total"]) == (2, 4)


def test_a_cursor_of_another_search_is_rejected(client, product):
    for number in range(5):
        product(name=f"Lamp {number}")
    cursor = client.get("/products/search?name=lamp&limit=2").json["next_cursor"]
    for other in ("name=lam", "name=lamp&sort=price", "name=lamp&max_price=5"):
        assert client.get(f"/products/search?{other}&limit=2&cursor={cursor}").status_code == 400
    assert client.get(f"/products?limit=2&cursor={cursor}").status_code == 400
    assert client.get(f"/products/search?limit=3&name=lamp&cursor={cursor}").status_code == 200


PLANS = {
    "name=needle": {"sqlite": "product_part", "postgresql": "ix_product_name_part"},
    "name=needle&min_price=1&max_price=3": {
        "sqlite": "product_part",
        "postgresql": "ix_product_name_part",
    },
    "min_price=100&max_price=100.50&sort=price": dict.fromkeys(
        ("sqlite", "postgresql"), "ix_product_listed_price"
    ),
    "min_price=0&sort=name": dict.fromkeys(("sqlite", "postgresql"), "ix_product_listed_name"),
}


@pytest.mark.parametrize("query", PLANS)
def test_a_search_uses_an_index(app, client, query):
    with app.app_context():
        engine = db.engine
        with engine.begin() as connection:
            for first in range(1, 20_001, 1_000):  # in parts, within the time limit of a statement
                bounds = {"first": first, "last": first + 999}
                connection.execute(text(INSERT_MANY[engine.dialect.name]), bounds)
        with engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(
                text(ANALYZE[engine.dialect.name])
            )
    plans = plans_of(app, lambda: client.get(f"/products/search?{query}"))
    assert PLANS[query][engine.dialect.name] in plans
    assert "Seq Scan on product" not in plans
    assert "SCAN product\n" not in plans


@pytest.mark.parametrize("sort", ["name", "-name", "price", "-price"])
def test_a_page_among_equal_names_and_prices_seeks_to_its_product_in_the_index(
    app, client, product, sort
):
    for _ in range(5):
        product(name="Lamp", price=1)
    with app.app_context():
        engine = db.engine
    cursor = client.get(f"/products?sort={sort}&limit=2").json["next_cursor"]
    # Autovacuum may have found that there are few rows, which are read at once.
    read = partial(client.get, f"/products?sort={sort}&limit=2&cursor={cursor}")
    plans = plans_of(app, read, few_rows=True)
    column = "folded" if "name" in sort else "price"
    sign = "<" if "-" in sort else ">"
    expected = {
        "sqlite": f"(archived=? AND ({column},rowid){sign}(?,?))",
        "postgresql": f"Index Cond: ((archived = false) AND (ROW({column}, id) {sign} ROW(",
    }
    assert expected[engine.dialect.name] in plans


@pytest.mark.parametrize("name", ["", "&name=la"])
@pytest.mark.parametrize("query", ["sort=price&min_price=1", "sort=-price&max_price=9"])
def test_a_page_within_price_bounds_seeks_to_its_product_and_the_total_counts_within_them(
    app, client, product, query, name
):
    for price in (0, 1, 2, 3, 4, 9, 10):
        product(name="Lamp", price=price)
    path = f"/products/search?{query}{name}"
    pages = [client.get(f"{path}&limit=2").json]
    while cursor := pages[-1]["next_cursor"]:
        pages.append(client.get(f"{path}&limit=2&cursor={cursor}").json)
    found = [int(float(item["price"])) for page in pages for item in page["items"]]
    descending = "sort=-price" in query
    assert found == ([9, 4, 3, 2, 1, 0] if descending else [1, 2, 3, 4, 9, 10])
    second = f"{path}&limit=3&cursor={pages[0]['next_cursor']}"
    plans = plans_of(app, lambda: client.get(second))
    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            assert f"(archived=? AND (price,rowid){'<' if descending else '>'}(?,?))" in plans
    if not name:
        assert client.get(f"{second}&include_total=true").json["total"] == len(found)


ANALYZE = {"sqlite": "ANALYZE", "postgresql": "VACUUM ANALYZE product"}
INSERT_MANY = {
    "sqlite": """
        WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :last)
        INSERT INTO product (sku, name, price, stock_level, version, updated_at, folded)
        SELECT 's' || i, 'a', i, 0, 1, '2024-01-01 00:00:00', 'product number ' || i FROM n""",
    "postgresql": """
        INSERT INTO product (sku, name, price, stock_level, version, updated_at, folded)
        SELECT 's' || i, 'a', i, 0, 1, now(), 'product number ' || i
        FROM generate_series(:first, :last) i""",
}


def plans_of(app, act, *, few_rows=False):
    """Return the plans of the product queries that ``act`` executes, as one text."""
    executed = []

    def record(_c, _cursor, statement, parameters, *_):
        if "FROM product" in statement:
            executed.append((statement, parameters))

    with app.app_context():
        engine = autocommit_engine()
    event.listen(engine, "before_cursor_execute", record)
    assert act().status_code == 200
    event.remove(engine, "before_cursor_execute", record)
    explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
    with engine.connect() as connection:
        if few_rows and engine.dialect.name == "postgresql":
            connection.execute(text("SET enable_seqscan = off"))
        plans = [
            connection.exec_driver_sql(explain + statement, parameters).all()
            for statement, parameters in executed
        ]
    return "\n".join(str(row[-1]) for plan in plans for row in plan) + "\n"
