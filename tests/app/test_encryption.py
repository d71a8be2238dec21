"""Encryption with keys of SECRET_KEY: nothing but what was encrypted is ever decrypted."""

import pytest

from app.encryption import CannotDecrypt, decrypt, encrypt

KEY, PURPOSE = "a secret of the tests", "a purpose"


@pytest.mark.parametrize("plain", [b"", b"x", bytes(100_000)])
def test_what_was_encrypted_is_decrypted(plain):
    encrypted = encrypt(plain, KEY, PURPOSE)
    assert decrypt(encrypted, KEY, PURPOSE) == plain
    assert encrypt(plain, KEY, PURPOSE) != encrypted


def test_another_key_or_purpose_or_other_bytes_are_noticed():
    encrypted = encrypt(b"a text", KEY, PURPOSE)
    changed = bytes([encrypted[0] ^ 1]) + encrypted[1:]
    for attempt in (
        (encrypted, "another secret", PURPOSE),
        (encrypted, KEY, "another purpose"),
        (changed, KEY, PURPOSE),
        (encrypted[:-1], KEY, PURPOSE),
        (encrypted + b"x", KEY, PURPOSE),
        (encrypted[:11], KEY, PURPOSE),
        (b"", KEY, PURPOSE),
    ):
        with pytest.raises(CannotDecrypt):
            decrypt(*attempt)
