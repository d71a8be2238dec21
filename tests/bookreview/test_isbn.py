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


@pytest.mark.parametrize("at", range(13))
def test_the_check_digit_detects_any_single_wrong_digit(at):
    right = "9780439023481"
    invalid = f"{right[:at]}{(int(right[at]) + 1) % 10}{right[at + 1 :]}"
    with pytest.raises(ValidationError, match="Not an ISBN"):
        normalize(invalid)
