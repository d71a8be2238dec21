"""Byte ranges of static files, on both servers and byte for byte (RFC 9110, 14)."""

import pytest

FILE = "/docs/swagger-ui.css"


@pytest.fixture(scope="module")
def whole(served):
    status, headers, body = served.request("GET", FILE)
    assert (status, headers["Accept-Ranges"]) == (200, "bytes")
    return headers, body


@pytest.mark.parametrize(
    ("sent", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=100-4999", 100, 4_999),
        ("bytes=100-", 100, None),
        ("bytes=-100", -100, None),
        ("bytes=-" + "9" * 30, 0, None),
        ("bytes=5-" + "9" * 5_000, 5, None),
        ("BYTES= 7-8 ", 7, 8),
    ],
    ids=lambda value: str(value)[:20],
)
def test_one_range_is_a_206_with_these_bytes(served, whole, sent, first, last):
    full, body = whole
    status, headers, part = served.request("GET", FILE, Range=sent, Accept_Encoding="gzip")
    begin = first % len(body)
    end = len(body) - 1 if last is None else last
    assert (status, part) == (206, body[begin : end + 1])
    assert headers["Content-Range"] == f"bytes {begin}-{end}/{len(body)}"
    assert headers["Content-Length"] == str(len(part))
    assert (headers["ETag"], headers["Vary"]) == (full["ETag"], full["Vary"])
    assert headers["Content-Encoding"] is None


@pytest.mark.parametrize("sent", ["past", "bytes=-0", "bytes=" + "9" * 5_000 + "-"], ids=ascii)
def test_a_range_without_a_byte_is_a_416_that_tells_the_length(served, whole, sent):
    length = len(whole[1])
    status, headers, _ = served.request("GET", FILE, Range=sent.replace("past", f"bytes={length}-"))
    assert (status, headers["Content-Range"]) == (416, f"bytes */{length}")
    assert headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "sent",
    [
        "bytes=0-9,20-29",
        "bytes=0-9, 20-29, 40-",
        "bytes=5-1",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=+1-2",
        "bytes=1-2-3",
        "bytes = 0-1",
        "lines=0-9",
        "seconds=0-9",
        "0-9",
        "",
        "\xb2",
    ],
)
def test_what_is_not_one_valid_range_of_bytes_is_ignored(served, whole, sent):
    status, headers, body = served.request("GET", FILE, Range=sent)
    assert (status, body, headers["Content-Range"]) == (200, whole[1], None)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST"])
@pytest.mark.parametrize("sent", ["bytes=0-9", "bytes=99999999-"])
def test_a_range_applies_to_get_only(served, method, sent):
    plain = served.request(method, FILE)
    status, headers, _ = served.request(method, FILE, Range=sent)
    assert (status, headers["Content-Range"]) == (plain[0], None)
    assert headers["Content-Length"] == plain[1]["Content-Length"]


@pytest.mark.parametrize("path", ["/books", "/openapi.json", "/healthz"])
def test_documents_have_no_ranges(served, path):
    status, headers, body = served.request("GET", path, Range="bytes=0-1")
    assert (status, headers["Accept-Ranges"]) == (200, None)
    assert len(body) > 2


@pytest.mark.parametrize("matches", [True, False])
@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
def test_if_range_selects_the_part_only_of_the_same_file(served, whole, header, matches):
    full, body = whole
    value = full[header]
    if not matches:
        value = '"other"' if header == "ETag" else "Fri, 01 Jan 2100 00:00:00 GMT"
    status, _, part = served.request("GET", FILE, Range="bytes=1-9", If_Range=value)
    assert (status, part) == ((206, body[1:10]) if matches else (200, body))


@pytest.mark.parametrize("kind", ["weak", "compressed", "unquoted", "nonsense", "star", "early"])
def test_an_if_range_that_is_no_strong_match_gets_the_whole_file(served, whole, kind):
    full, body = whole
    etag = full["ETag"]
    value = {
        "weak": f"W/{etag}",
        "compressed": f'{etag[:-1]}-gzip"',
        "unquoted": etag.strip('"'),
        "nonsense": "\xff",
        "star": "*",
        "early": "Thu, 01 Jan 1970 00:00:00 GMT",
    }[kind]
    for sent in ("bytes=1-9", "bytes=99999999-"):
        status, _, received = served.request("GET", FILE, Range=sent, If_Range=value)
        assert (status, received) == (200, body)


def test_an_unchanged_file_is_a_304_before_its_range_is_read(served, whole):
    etag = whole[0]["ETag"]
    for sent in ("bytes=1-9", "bytes=99999999-"):
        assert served.request("GET", FILE, Range=sent, If_None_Match=etag)[0] == 304
