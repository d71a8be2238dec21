import gzip

import pytest


@pytest.fixture(scope="module", autouse=True)
def many_books(shared_client):
    for number in range(20):
        words = {"title": f"A book with a title, number {number}", "author": "An author"}
        assert shared_client.post("/books", json=words).status_code == 201


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
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = client.get(path, headers=named, buffered=True)
    answer.close()
    return answer


@pytest.mark.parametrize("path", PATHS)
def test_what_a_client_has_is_not_sent_again(shared_client, path):
    etag = get(shared_client, path).headers["ETag"]
    again = get(shared_client, path, If_None_Match=etag)
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", etag)


@pytest.mark.parametrize("path", ["/books/1", "/openapi.json", "/static/docs.js"])
@pytest.mark.parametrize("form", ["W/{}", '"other", {}', '{}, "other"', 'W/"x",W/{}', "*", " {} "])
def test_an_etag_is_recognized_in_all_forms(shared_client, path, form):
    etag = get(shared_client, path).headers["ETag"]
    assert get(shared_client, path, If_None_Match=form.format(etag)).status_code == 304


@pytest.mark.parametrize("path", ["/books/1", "/openapi.json", "/static/docs.js"])
@pytest.mark.parametrize("sent", ['"other"', "", "other", '""', 'W/"other"', '"*"'])
def test_another_etag_gets_the_answer(shared_client, path, sent):
    assert get(shared_client, path, If_None_Match=sent).status_code == 200


def test_an_answer_that_changed_has_another_etag(shared_client):
    before = get(shared_client, "/books/2").headers["ETag"]
    words = {"rating": 5, "reviewer": "Ana", "text": "Good."}
    shared_client.post("/books/2/reviews", json=words)
    after = get(shared_client, "/books/2", If_None_Match=before)
    assert after.status_code == 200
    assert after.headers["ETag"] != before


def test_a_failure_has_no_etag_and_is_never_a_304(shared_client):
    answer = get(shared_client, "/books/999", If_None_Match="*")
    assert answer.status_code == 404
    assert "ETag" not in answer.headers


def test_an_etag_does_not_keep_a_write_from_being_done(shared_client):
    words = {"title": "T", "author": "A"}
    answer = shared_client.post("/books", json=words, headers={"If-None-Match": "*"})
    assert answer.status_code == 201
    assert "ETag" not in answer.headers


@pytest.mark.parametrize("path", LARGE)
def test_a_large_answer_is_compressed_for_who_takes_it(shared_client, path):
    plain, packed = get(shared_client, path), get(shared_client, path, **GZIP)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) == len(packed.data) < len(plain.data)
    assert gzip.decompress(packed.data) == plain.data
    assert "Content-Encoding" not in plain.headers
    for answer in (plain, packed):
        assert answer.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize("path", LARGE)
def test_each_encoding_has_an_etag_and_a_304_of_its_own(shared_client, path):
    plain, packed = get(shared_client, path), get(shared_client, path, **GZIP)
    etag = packed.headers["ETag"]
    assert etag != plain.headers["ETag"]
    again = get(shared_client, path, If_None_Match=etag, **GZIP)
    assert (again.status_code, again.headers["ETag"], again.data) == (304, etag, b"")
    assert again.headers["Vary"] == "Accept-Encoding"
    assert "Content-Encoding" not in again.headers
    assert get(shared_client, path, If_None_Match=etag).status_code == 200


def test_the_same_answer_compressed_twice_is_the_same(shared_client):
    first, second = (get(shared_client, "/books", **GZIP) for _ in range(2))
    assert (first.data, first.headers["ETag"]) == (second.data, second.headers["ETag"])


def test_a_small_answer_is_left_as_it_is(shared_client):
    answer = get(shared_client, "/books/1", **GZIP)
    assert "Content-Encoding" not in answer.headers
    assert "Vary" not in answer.headers


@pytest.mark.parametrize(
    ("accepted", "packed"),
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
def test_an_answer_is_compressed_only_for_who_takes_gzip(shared_client, accepted, packed):
    answer = get(shared_client, "/books", Accept_Encoding=accepted)
    assert (answer.headers.get("Content-Encoding") == "gzip") == packed


def test_a_part_of_a_file_is_sent_as_it_is(shared_client):
    whole = get(shared_client, "/docs/swagger-ui.css").data
    part = get(shared_client, "/docs/swagger-ui.css", Range="bytes=100-4999", **GZIP)
    assert part.status_code == 206
    assert "Content-Encoding" not in part.headers
    assert part.data == whole[100:5000]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_head_has_the_headers_of_get(shared_client, path, encoding):
    def headers(answer):
        answer.close()
        varying = {"X-Request-ID", "Date", "Expires"}
        return answer.status_code, {k: v for k, v in answer.headers if k not in varying}

    whole = shared_client.get(path, headers={"Accept-Encoding": encoding})
    head = shared_client.head(path, headers={"Accept-Encoding": encoding})
    assert head.data == b""
    assert headers(head) == headers(whole)
