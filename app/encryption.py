"""Encryption of what is stored, with keys derived from SECRET_KEY: one for each purpose."""

import os
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES, NONCE_BYTES = 32, 12


class CannotDecrypt(Exception):
    """The bytes were encrypted with another SECRET_KEY or for another purpose, or are damaged."""


def encrypt(plain: bytes, secret_key: str, purpose: str) -> bytes:
    """Encrypt with AES-256-GCM; the result begins with the random nonce."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + _cipher(secret_key, purpose).encrypt(nonce, plain, None)


def decrypt(encrypted: bytes, secret_key: str, purpose: str) -> bytes:
    """Return what was passed to ``encrypt``; raise CannotDecrypt."""
    nonce, text = encrypted[:NONCE_BYTES], encrypted[NONCE_BYTES:]
    try:
        return _cipher(secret_key, purpose).decrypt(nonce, text, None)
    except (InvalidTag, ValueError):  # ValueError: too short to have a nonce
        raise CannotDecrypt from None


@lru_cache(maxsize=8)
def _cipher(secret_key: str, purpose: str) -> AESGCM:
    # No salt: SECRET_KEY is long and random, and every process has to derive the same key.
    derive = HKDF(SHA256(), KEY_BYTES, salt=None, info=purpose.encode())
    return AESGCM(derive.derive(secret_key.encode()))
