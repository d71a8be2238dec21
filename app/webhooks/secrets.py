"""The secrets with which requests of webhooks are signed, as Standard Webhooks writes them.

A signature needs the secret itself, so it cannot be stored as a hash. It is encrypted with a key
that is derived from SECRET_KEY: a copy of the database alone is worth nothing to a forger.
"""

import secrets
from base64 import b64decode, b64encode
from contextlib import suppress

from app.db.types import now
from app.encryption import CannotDecrypt, decrypt, encrypt
from app.webhooks.models import Webhook

PREFIX = "whsec_"
SECRET_BYTES = 32
PURPOSE = "secret of a webhook"
UNREADABLE = "its secret cannot be read, as SECRET_KEY has changed: rotate it"


class SecretUnreadable(Exception):
    """The secret of a webhook was encrypted with another SECRET_KEY."""

    def __init__(self) -> None:
        super().__init__(UNREADABLE)


def new_secret() -> str:
    """Generate a secret: ``whsec_`` and 32 random bytes in base64."""
    return PREFIX + b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def encrypt_secret(secret: str, secret_key: str) -> bytes:
    """Return what is stored of a secret."""
    return encrypt(b64decode(secret.removeprefix(PREFIX)), secret_key, PURPOSE)


def signing_keys(webhook: Webhook, secret_key: str) -> list[bytes]:
    """Return the bytes of the secret, and of the one before while that is valid.

    A request is signed with each. Raise SecretUnreadable.
    """
    try:
        keys = [decrypt(webhook.secret, secret_key, PURPOSE)]
    except CannotDecrypt:
        raise SecretUnreadable from None
    until = webhook.old_secret_until
    if webhook.old_secret is not None and until is not None and now() < until:
        # It may be unreadable: a change of SECRET_KEY may be why the secret was rotated.
        with suppress(CannotDecrypt):
            keys.append(decrypt(webhook.old_secret, secret_key, PURPOSE))
    return keys
