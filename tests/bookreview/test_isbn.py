import pytest
from marshmallow import ValidationError

from bookreview.isbn import normalize


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("9780439023481", "9780439023481"),
        ("978-0-439-02348-1", "9780439023481"),
        ("0439023483", "9780439023481"),
        ("0-439-02348-3", "9780439023481"),
        ("0 439 02348 3", "9780439023481"),
        ("080442957X", "9780804429573"),
        ("0-8044-2957-x", "9780804429573"),
        ("9791032305690", "9791032305690"),
        ("9798602477429", "9798602477429"),
        ("978\u20110\u2011439\u201102348\u20111", "9780439023481"),
        ("978\u20100\u2012439\u201302348\u20141", "9780439023481"),
        ("978\u20150\u2212439\ufe5802348\ufe631", "9780439023481"),
        ("0\uff0d439\uff0d02348\uff0d3", "9780439023481"),
        ("978\u30a00\u2e17439\u301c02348\ufe311", "9780439023481"),
        ("978\u00a00\u2009439\u202f02348\u30001", "9780439023481"),
        ("\u200e9780439023481\u202c", "9780439023481"),
        ("\u202a\u2068978-0-439-02348-1\u2069", "9780439023481"),
        ("\ufeff97804\u00ad39023481\u200b", "9780439023481"),
        ("ISBN 978-0-439-02348-1", "9780439023481"),
        ("ISBN-13: 978-0-439-02348-1", "9780439023481"),
        ("isbn10: 0-439-02348-3", "9780439023481"),
        ("ISBN 1000000001", "9781000000009"),
        ("ISBN-10 1300000007", "9781300000006"),
    ],
)
def test_an_isbn_is_stored_and_returned_as_thirteen_digits(client, book, written, stored):
    assert client.get(f"/books/{book(isbn=written)}").json["isbn"] == stored


@pytest.mark.parametrize(
    "invalid",
    [
        "",
        "-",
        "9780439023482",
        "0439023484",
        "0439023X83",
        "X439023483",
        "978043902348",
        "97804390234811",
        "9770439023484",
        "\uff19\uff17\uff18\uff10\uff14\uff13\uff19\uff10\uff12\uff13\uff14\uff18\uff11",
        "9780439023481\n",
        "978_0439023481",
        "978\u00000439023481",
        "\ud800",
        "9790260000438",
        "979-0-2600-0043-8",
        "ISMN 979-0-2600-0043-8",
        "ISBN",
        "ISBN 978",
        "I\u017fBN 9780439023481",
        "978.0.439.02348.1",
        "978/0439023481",
        "9780439023481 9780439023481",
    ],
)
def test_an_invalid_isbn_is_rejected(shared_client, invalid):
    response = shared_client.post("/books", json={"title": "T", "author": "A", "isbn": invalid})
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json["errors"]] == ["/isbn"]


@pytest.mark.parametrize("invalid", [9780439023481, True, ["9780439023481"], {}])
def test_an_isbn_of_another_type_is_rejected(shared_client, invalid):
    response = shared_client.post("/books", json={"title": "T", "author": "A", "isbn": invalid})
    assert response.status_code == 422


def test_the_number_of_printed_music_is_called_that():
    with pytest.raises(ValidationError, match="printed music"):
        normalize("979-0-2600-0043-8")


@pytest.mark.parametrize("at", range(13))
def test_the_check_digit_detects_any_single_wrong_digit(at):
    right = "9780439023481"
    invalid = f"{right[:at]}{(int(right[at]) + 1) % 10}{right[at + 1 :]}"
    with pytest.raises(ValidationError, match="Not an ISBN"):
        normalize(invalid)
