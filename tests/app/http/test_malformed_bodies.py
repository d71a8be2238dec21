"""Malformed bodies: each kind gets its own status, and none is a 500."""

import json

import pytest

BOOK = '{"title": "T", "author": "A"}'
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def post(shared_client):
    def send(body, path="/books", headers=JSON):
        sent = body.encode() if isinstance(body, str) else body
        return shared_client.post(path, data=sent, headers=headers)

    return send


@pytest.mark.parametrize(
    "body",
    [
        "",
        " ",
        "{",
        "{'title': 'T'}",
        '{"title": "T",}',
        f"{BOOK} {BOOK}",
        f"/**/{BOOK}",
        '{"title": "a\tb", "author": "A"}',
        '{"title": "T", "author": "A", "published_year": NaN}',
        '{"title": "T", "author": "A", "published_year": Infinity}',
        '{"title": "T", "author": "A", "published_year": -Infinity}',
        '{"title": "T", "author": "A", "published_year": 1e999999999999999999999}',
        '{"title": "T", "author": "A", "published_year": \u0661\u0669}',
        '{"title": "T", "author": "A", "published_year": 0x7}',
        '{"title": "T", "author": "A", "published_year": 01}',
        '{"title": "T", "author": "A", "published_year": ' + "9" * 5000 + "}",
        '{"title": "T", "title": "U", "author": "A"}',
        '{"title": {"a": 1, "a": 2}, "author": "A"}',
        "[" * 100_000,
        '{"a":' * 100_000,
        "[" * 100_000 + "]" * 100_000,
        '{"title": "\\ud8", "author": "A"}',
        '{"title": "\\x00", "author": "A"}',
        b"\xef\xbb\xbf" + BOOK.encode(),
        BOOK.encode("utf-16"),
        BOOK.encode("utf-32-le"),
        b'{"title": "\xff", "author": "A"}',
        b'{"title": "\xed\xa0\x80", "author": "A"}',
        b'{"title": "\xc0\x80", "author": "A"}',
        b"\x00",
        b"\x1f\x8b\x08\x00",
    ],
    ids=lambda body: repr(body[:60]),
)
def test_a_body_that_is_not_json_is_a_400(post, body, assert_problem):
    assert_problem(post(body), 400)


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ("[]", {""}),
        ("null", {""}),
        ('"text"', {""}),
        ("1", {""}),
        ("true", {""}),
        (f"[{BOOK}]", {""}),
        ("{}", {"/title", "/author"}),
        ('{"title": null, "author": "A"}', {"/title"}),
        ('{"title": {"a": 1}, "author": ["A"]}', {"/title", "/author"}),
        ('{"title": 1, "author": true}', {"/title", "/author"}),
        ('{"title": "T", "author": "A", "": 1}', {"/"}),
        ('{"title": "T", "author": "A", "a/b~c": 1}', {"/a~1b~0c"}),
        ('{"title": "T", "author": "A", "\\ud800": 1}', {"/\\ud800"}),
        ('{"title": "T", "author": "A", "\\u0000": 1}', {"/\0"}),
        ('{"title": "T", "author": "A", "Title": "T"}', {"/Title"}),
        ('{"title": "T", "author": "A", "__proto__": {}}', {"/__proto__"}),
    ],
)
def test_json_of_another_shape_is_a_422_with_pointers(post, body, pointers, assert_problem):
    response = post(body)
    assert_problem(response, 422)
    assert {error["pointer"] for error in response.json["errors"]} == pointers


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\u00a0\u2003",
        "\u200b",
        "\ufeff",
        "\u2028",
        "a\0b",
        "\0",
        "\ud800",
        "a\udfffb",
        "\udc00\ud800",
        "a\nb",
        "a\tb",
        "a\x1b[31mb",
        "a\x7fb",
        "a\x85b",
        "x" * 501,
        "e\u0301" * 501,
    ],
    ids=ascii,
)
def test_text_that_is_not_allowed_is_a_422(post, text, assert_problem):
    response = post(json.dumps({"title": text, "author": "A"}))
    assert_problem(response, 422)
    assert [error["pointer"] for error in response.json["errors"]] == ["/title"]


@pytest.mark.parametrize(
    "text",
    [
        "e\u0301" * 500,
        "\ufdfa" * 500,
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\u202e right to left",
        "\ufb2c" * 100,
        "z\u0351\u036b\u0343" * 100,
        "'; DROP TABLE book; --",
        "<script>alert(1)</script>",
        "{{7*7}} %s %(a)s :a ${a}",
        "\\u0000",
        "\uffff",
    ],
    ids=ascii,
)
def test_text_in_any_script_is_stored(post, shared_client, text):
    response = post(json.dumps({"title": text, "author": text}))
    assert response.status_code == 201, response.json
    assert shared_client.get(response.headers["Location"]).json == response.json


@pytest.mark.parametrize(
    "number",
    [
        "-0",
        "1e400",
        "-1e400",
        "1.5",
        "true",
        '"1815"',
        '"1e2"',
        "2147483648",
        "-2147483649",
        "9223372036854775808",
        "99999999999999999999",
        '"\u0661\u0669"',
        "[1]",
        "{}",
    ],
)
def test_a_number_of_another_form_or_size_is_a_422(post, number, assert_problem):
    response = post(f'{{"title": "T", "author": "A", "published_year": {number}}}')
    assert_problem(response, 422)
    assert [error["pointer"] for error in response.json["errors"]] == ["/published_year"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": ""},
        {"Content-Type": "text/plain"},
        {"Content-Type": "text/json"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/problem+json"},
        {"Content-Type": "application/jsonx"},
        {"Content-Type": "\xff"},
        {**JSON, "Content-Encoding": "gzip"},
        {**JSON, "Content-Encoding": "br"},
    ],
    ids=repr,
)
def test_a_body_that_is_not_declared_as_json_is_a_415(post, headers, assert_problem):
    assert_problem(post(BOOK, headers=headers), 415)


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/json;x=y"]
)
def test_the_content_type_of_json_is_accepted_in_any_spelling(post, content_type):
    assert post(BOOK, headers={"Content-Type": content_type}).status_code == 201


def test_a_body_beyond_the_limit_is_a_413(post, assert_problem):
    assert_problem(post(json.dumps({"title": "x" * 10_000_000, "author": "A"})), 413)


def test_the_largest_body_is_read(make_app, sqlite_database):
    client = make_app(sqlite_database, max_body_bytes=2_000).test_client()
    padded = BOOK + " " * (2_000 - len(BOOK))
    assert client.post("/books", data=padded, headers=JSON).status_code == 201
    assert client.post("/books", data=padded + " ", headers=JSON).status_code == 413
