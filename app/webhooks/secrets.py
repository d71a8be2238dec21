"""How the secrets of webhooks are stored: encrypted.

A signature needs the secret itself, so it cannot be stored as a hash. It is encrypted with a key
that is derived from SECRET_KEY: a copy of the database alone is worth nothing to a forger.
"""

from contextlib import suppress

from app.db.types import now
from app.encryption import CannotDecrypt, decrypt, encrypt
from app.webhooks.models import Webhook

PURPOSE = "secret of a webhook"
UNREADABLE = "Its secret cannot be read, as SECRET_KEY has changed: rotate it."


class SecretUnreadable(Exception):
    """The secret of a webhook was encrypted with another SECRET_KEY."""

    def __init__(self) -> None:
        super().__init__(UNREADABLE)


def encrypt_secret(secret: str, secret_key: str) -> bytes:
    """Return what is stored of a secret."""
    return encrypt(secret.encode(), secret_key, PURPOSE)


def valid_secrets(webhook: Webhook, secret_key: str) -> list[str]:
    """Return the secret, and the one before while that is valid: each signs a request.

    Raise SecretUnreadable.
    """
    try:
        secrets = [decrypt(webhook.secret, secret_key, PURPOSE).decode()]
    except CannotDecrypt:
        raise SecretUnreadable from None
    until = webhook.old_secret_until
    if webhook.old_secret is not None and until is not None and now() < until:
        # It may be unreadable: a change of SECRET_KEY is what the rotation was for.
        with suppress(CannotDecrypt):
            secrets.append(decrypt(webhook.old_secret, secret_key, PURPOSE).decode())
    return secrets
