"""Accept, as every route reads it."""

import pytest

from app.http.accept import negotiate

A, B = "application/a", "text/b"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", B),
        ("  ", B),
        (",", B),
        ("*/*", B),
        ("application/a", A),
        ("APPLICATION/A", A),
        ("application/*", A),
        ("Text/*", B),
        ("application/a, text/b", A),
        ("text/b, application/a", A),
        ("text/b, application/a;q=0.9", B),
        ("text/b;q=0.5, */*", A),
        ("*/*, application/a", A),
        ("application/a;q=0, */*", B),
        ("text/*;q=0, */*", A),
        ("text/b;q=0.1, text/*;q=0", B),
        ("application/a;q=0", None),
        ("application/a;q=0.000, text/b;q=0.0", None),
        ("*/*;q=0", None),
        ("application/*;q=0, text/*;q=0, */*", None),
        ("application/json", None),
        ("application/a;version=2; q=0.3", A),
        ("nonsense", None),
        ("\xff", None),
        ("image/gif, *; q=.2, */*; q=.2", B),
        ("application/a;Q=0, text/b;Q=0.2", B),
    ],
)
def test_the_preferred_type_is_chosen(accept, expected):
    assert negotiate(accept, A, B) == expected
