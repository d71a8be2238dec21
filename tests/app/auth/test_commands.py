"""`flask keys ...`."""

import pytest

from app.commands import keys as commands
from tests.app.auth.keys import make_key, run_keys


def test_list_shows_each_key_with_its_scopes_and_revocation(app):
    token = make_key(app, "reviews:write", "books:write")
    listed = run_keys(app, "list").stdout
    assert token[4:16] in listed
    assert "a test" in listed
    assert "books:write, reviews:write" in listed
    assert run_keys(app, "revoke", token).exit_code == 0
    assert run_keys(app, "list").stdout.count(":") > listed.count(":")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("create", "x", "--scope", "books:wriet"), "there is no scope 'books:wriet'"),
        (("create", " "), "printable characters"),
        (("create", "x" * 101), "printable characters"),
        (("create", "a\x1b[2Jb"), "printable characters"),
        (("create", "a\u200bb"), "printable characters"),
        (("create", "a\u00a0b"), "printable characters"),
        (("create", "\u3164"), "invisible character U+3164"),
        (("create", "shop\u2800"), "invisible character U+2800"),
        (("create", "sh\ufe0fop"), "invisible character U+FE0F"),
        (("revoke", "0123456789ab"), "key not found"),
        (("revoke", "nonsense"), "key not found"),
    ],
)
def test_invalid_arguments_are_an_error_and_change_nothing(app, arguments, message):
    result = run_keys(app, *arguments)
    assert result.exit_code != 0
    assert message in result.output
    assert run_keys(app, "list").stdout.count("\n") == 1


def test_the_number_of_active_keys_is_limited(app, monkeypatch):
    monkeypatch.setattr(commands, "KEYS_MAX", 1)
    token = make_key(app)
    assert "revoke some" in run_keys(app, "create", "another").output
    run_keys(app, "revoke", token[4:16])
    make_key(app)


def test_create_prints_only_the_token_to_stdout(app):
    result = run_keys(app, "create", "a shop", "--scope", "books:write")
    public = result.stdout[4:16]
    assert result.stdout.count("\n") == 1
    assert result.stderr.startswith(f"Key {public} of 'a shop': books:write.")
    assert run_keys(app, "create", "a reader").stderr.count("no scopes, reads only") == 1
