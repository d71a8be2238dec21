import gzip

import pytest


@pytest.fixture(scope="module", autouse=True)
def many_books(shared_client):
    for number in range(20):
        body = {"title": f"A book with a title, number {number}", "author": "An author"}
        assert shared_client.post("/books", json=body).status_code == 201


PATHS = [
    "/books?limit=1",
    "/books",
    "/books/1",
    "/books/1/reviews",
    "/openapi.json",
    "/docs",
    "/docs/swagger-ui.css",
    "/docs/swagger-ui-bundle.js",
    "/static/docs.js",
]
LARGE = ["/books", "/openapi.json", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js"]
GZIP = {"Accept-Encoding": "gzip"}


def get(client, path, **headers):
    renamed = {name.replace("_", "-"): value for name, value in headers.items()}
    response = client.get(path, headers=renamed, buffered=True)
    response.close()
    return response


@pytest.mark.parametrize("path", PATHS)
def test_a_matching_etag_gets_a_304(shared_client, path):
    etag = get(shared_client, path).headers["ETag"]
    again = get(shared_client, path, If_None_Match=etag)
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", etag)


@pytest.mark.parametrize("path", ["/books/1", "/openapi.json", "/static/docs.js"])
@pytest.mark.parametrize("form", ["W/{}", '"other", {}', '{}, "other"', 'W/"x",W/{}', "*", " {} "])
def test_if_none_match_is_understood_in_all_forms(shared_client, path, form):
    etag = get(shared_client, path).headers["ETag"]
    assert get(shared_client, path, If_None_Match=form.format(etag)).status_code == 304


@pytest.mark.parametrize("path", ["/books/1", "/openapi.json", "/static/docs.js"])
@pytest.mark.parametrize("sent", ['"other"', "", "other", '""', 'W/"other"', '"*"'])
def test_another_etag_gets_the_full_response(shared_client, path, sent):
    assert get(shared_client, path, If_None_Match=sent).status_code == 200


def test_a_changed_response_has_another_etag(shared_client):
    before = get(shared_client, "/books/2").headers["ETag"]
    body = {"rating": 5, "reviewer": "Ana", "text": "Good."}
    shared_client.post("/books/2/reviews", json=body)
    after = get(shared_client, "/books/2", If_None_Match=before)
    assert after.status_code == 200
    assert after.headers["ETag"] != before


def test_an_error_has_no_etag_and_is_never_a_304(shared_client):
    response = get(shared_client, "/books/999", If_None_Match="*")
    assert response.status_code == 404
    assert "ETag" not in response.headers


@pytest.mark.parametrize("path", LARGE)
def test_a_large_response_is_compressed_if_the_client_accepts_gzip(shared_client, path):
    plain, gzipped = get(shared_client, path), get(shared_client, path, **GZIP)
    assert gzipped.headers["Content-Encoding"] == "gzip"
    assert int(gzipped.headers["Content-Length"]) == len(gzipped.data) < len(plain.data)
    assert gzip.decompress(gzipped.data) == plain.data
    assert "Content-Encoding" not in plain.headers
    for response in (plain, gzipped):
        assert response.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize("path", LARGE)
def test_each_encoding_has_its_own_etag_and_304(shared_client, path):
    plain, gzipped = get(shared_client, path), get(shared_client, path, **GZIP)
    etag = gzipped.headers["ETag"]
    assert etag != plain.headers["ETag"]
    again = get(shared_client, path, If_None_Match=etag, **GZIP)
    assert (again.status_code, again.headers["ETag"], again.data) == (304, etag, b"")
    assert again.headers["Vary"] == "Accept-Encoding"
    assert "Content-Encoding" not in again.headers
    assert get(shared_client, path, If_None_Match=etag).status_code == 200


def test_compression_is_deterministic(shared_client):
    first, second = (get(shared_client, "/books", **GZIP) for _ in range(2))
    assert (first.data, first.headers["ETag"]) == (second.data, second.headers["ETag"])


def test_a_small_response_is_not_compressed(shared_client):
    response = get(shared_client, "/books/1", **GZIP)
    assert "Content-Encoding" not in response.headers
    assert "Vary" not in response.headers


@pytest.mark.parametrize(
    ("accepted", "gzipped"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("br;q=1.0, gzip;q=0.5", True),
        ("*", True),
        ("deflate, gzip;q=0", False),
        ("gzip;q=0.0, *", False),
        ("*;q=0", False),
        ("identity", False),
        ("deflate, br", False),
        ("notgzip", False),
        ("", False),
    ],
)
def test_accept_encoding_decides_about_compression(shared_client, accepted, gzipped):
    response = get(shared_client, "/books", Accept_Encoding=accepted)
    assert (response.headers.get("Content-Encoding") == "gzip") == gzipped


def test_a_partial_response_is_not_compressed(shared_client):
    full = get(shared_client, "/docs/swagger-ui.css").data
    part = get(shared_client, "/docs/swagger-ui.css", Range="bytes=100-4999", **GZIP)
    assert part.status_code == 206
    assert "Content-Encoding" not in part.headers
    assert part.data == full[100:5000]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_head_returns_the_headers_of_get(shared_client, path, encoding):
    def headers(response):
        response.close()
        varying = {"X-Request-ID", "Date", "Expires"}
        return response.status_code, {k: v for k, v in response.headers if k not in varying}

    shared_client.get(path, headers={"Accept-Encoding": encoding})  # so that both are hits
    full = shared_client.get(path, headers={"Accept-Encoding": encoding})
    head = shared_client.head(path, headers={"Accept-Encoding": encoding})
    assert head.data == b""
    assert headers(head) == headers(full)
