"""The headers of a delivery, signed as Standard Webhooks 1.0 asks for."""

import base64
import hashlib
import hmac
from collections.abc import Sequence


def signed_headers(
    keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes
) -> dict[str, str]:
    """Return the three headers of a message that is sent at ``timestamp``, in Unix seconds.

    Each of ``keys``, the bytes of secrets, signs: a receiver can change to a new secret any time.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{_signature(key, signed)}" for key in keys),
    }


def _signature(key: bytes, signed: bytes) -> str:
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
