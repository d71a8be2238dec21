"""If-Match and the other preconditions of a write: never ignored, whatever they contain."""

import pytest

MALFORMED = [
    "",
    " ",
    ",",
    " , ,",
    "1",
    "'1'",
    '"1',
    '1"',
    '"1";"2"',
    '"1" "2"',
    '"1""2"',
    '"1", 2',
    '"1",2,"3"',
    '"1";q=1',
    'w/"1"',
    "W/1",
    'W / "1"',
    'W/ "1"',
    '*, "1"',
    '"1", *',
    "**",
    "*;q=1",
    '"a b"',
    '"a\tb"',
    '"a\\"b"',
    "garbage",
    "\u201c1\u201d".encode().decode("latin-1"),
    '"1"' + ";" * 4000,
    " \t" * 4000,
]
MATCHING = ['"1"', '"7","1"', '"7" ,\t"1"', ',,"1",', ' "1" ', "*", " * ", '"1-gzip"', 'W/"9", "1"']
OTHER = ['"2"', '""', 'W/"1"', '"01"', '"1!"', '"a,b"', '"*"', '"2", W/"1"']
UNSUPPORTED = [
    ("If-None-Match", "*"),
    ("If-None-Match", '"9"'),
    ("If-None-Match", ""),
    ("If-Unmodified-Since", "Sat, 29 Oct 1994 19:43:31 GMT"),
    ("If-Unmodified-Since", "Sat, 29 Oct 2094 19:43:31 GMT"),
    ("If-Unmodified-Since", "yesterday"),
]
CHANGES = {
    "PATCH /products/{}": {"price": "1"},
    "POST /products/{}/stock-adjustments": {"delta": 1},
}
CREATIONS = {
    "POST /books": {"title": "Emma", "author": "Jane Austen"},
    "POST /books/1/reviews": {"rating": 5, "reviewer": "Ana", "text": "Good."},
    "POST /products": {"sku": "NEW-1", "name": "Lamp", "price": "9.90"},
    "POST /graphql": {
        "query": 'mutation { addReview(bookId: 1, rating: 5, reviewer: "A", text: "T") { id } }'
    },
}
COUNTS = "{ books { totalCount } reviews(bookId: 1) { totalCount } }"


def send(client, route, body, **headers):
    method, path = route.split()
    renamed = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.open(path, method=method, json=body, headers=renamed)


def state(client):
    """Return everything that the writes of this module can change."""
    products = client.get("/products?limit=100&include_total=true").json
    return products, client.post("/graphql", json={"query": COUNTS}).json["data"]


@pytest.fixture
def lamp(client):
    """A product with the version 1."""
    body = {"sku": "L-1", "name": "Lamp", "price": "19.99", "stock_level": 3}
    return client.post("/products", json=body).json["id"]


@pytest.mark.parametrize("route", CHANGES)
def test_a_malformed_if_match_is_a_400_and_changes_nothing(client, lamp, route):
    before = state(client)
    for header in MALFORMED:
        response = send(client, route.format(lamp), CHANGES[route], If_Match=header)
        assert response.status_code == 400, header
        assert "If-Match" in response.json["detail"]
    assert state(client) == before


@pytest.mark.parametrize("route", CHANGES)
@pytest.mark.parametrize("header", MATCHING)
def test_a_write_with_the_current_version_is_made(client, lamp, route, header):
    response = send(client, route.format(lamp), CHANGES[route], If_Match=header)
    assert response.status_code in {200, 201}, response.json
    assert client.get(f"/products/{lamp}").headers["ETag"] == '"2"'


@pytest.mark.parametrize("route", CHANGES)
def test_a_write_with_another_version_is_a_412_and_changes_nothing(client, lamp, route):
    before = state(client)
    for header in OTHER:
        response = send(client, route.format(lamp), CHANGES[route], If_Match=header)
        assert response.status_code == 412, header
    assert state(client) == before


@pytest.mark.parametrize("route", CHANGES)
def test_an_unknown_product_is_a_404_whatever_the_version(client, route):
    assert send(client, route.format(7), CHANGES[route], If_Match='"1"').status_code == 404
    assert send(client, route.format(7), CHANGES[route], If_Match="*").status_code == 404


def test_an_adjustment_that_is_sent_again_does_not_compare_the_version_again(client, lamp):
    headers = {"If_Match": '"1"', "Idempotency_Key": "k"}
    route = f"POST /products/{lamp}/stock-adjustments"
    first, again = (send(client, route, {"delta": 1}, **headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["Idempotency-Replayed"] == "true"


def test_too_little_stock_of_the_current_version_is_a_409(client, lamp):
    route = f"POST /products/{lamp}/stock-adjustments"
    assert send(client, route, {"delta": -4}, If_Match='"1"').status_code == 409
    assert send(client, route, {"delta": -4}, If_Match='"2"').status_code == 412


@pytest.mark.parametrize("route", CREATIONS)
def test_a_creation_never_ignores_if_match(client, book, route):
    book()
    before = state(client)
    for header in [*MALFORMED, *OTHER, '"1"']:
        response = send(client, route, CREATIONS[route], If_Match=header)
        assert response.status_code == (400 if header in MALFORMED else 412), header
    assert state(client) == before


@pytest.mark.parametrize("route", CREATIONS)
def test_a_creation_accepts_if_match_with_an_asterisk(client, book, route):
    book()
    response = send(client, route, CREATIONS[route], If_Match="*")
    assert response.status_code in {200, 201}


@pytest.mark.parametrize("route", [*CHANGES, *CREATIONS])
def test_a_precondition_that_is_not_supported_is_a_412(client, book, lamp, route):
    book()
    before = state(client)
    for name, value in UNSUPPORTED:
        body = {**CHANGES, **CREATIONS}[route]
        response = send(client, route.format(lamp), body, **{name: value})
        assert response.status_code == 412, (name, value)
        assert name in response.json["detail"]
    assert state(client) == before


def test_if_match_replaces_if_unmodified_since(client, lamp):
    headers = {"If_Match": '"1"', "If_Unmodified_Since": "Sat, 29 Oct 1994 19:43:31 GMT"}
    assert send(client, f"PATCH /products/{lamp}", {"price": 1}, **headers).status_code == 200


def test_a_read_does_not_depend_on_if_match(client, lamp):
    response = client.get(f"/products/{lamp}", headers={"If-Match": ","})
    assert response.status_code == 200
