"""Signatures, against the published library and an example of our own."""

from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from app.webhooks.secrets import new_secret
from app.webhooks.signing import signed_headers

KEY = b"\x07" * 32


def test_the_published_library_verifies_each_signature():
    secrets = [new_secret(), new_secret()]
    keys = [Webhook(secret)._whsecret for secret in secrets]
    body = '{"type":"stock.changed","title":"Émile"}'.encode()
    headers = signed_headers(keys, "c0ffee-7", int(datetime.now(UTC).timestamp()), body)
    for secret in secrets:
        assert Webhook(secret).verify(body, headers)["title"] == "Émile"
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(body, headers)
    for other in (body + b" ", body.replace(b"stock", b"books")):
        with pytest.raises(WebhookVerificationError):
            Webhook(secrets[0]).verify(other, headers)


def test_the_id_and_the_time_are_signed():
    one = signed_headers([KEY], "c0ffee-7", 1_700_000_000, b"{}")
    assert one["webhook-id"] == "c0ffee-7"
    assert one["webhook-timestamp"] == "1700000000"
    signature = one["webhook-signature"]
    assert signature == signed_headers([KEY], "c0ffee-7", 1_700_000_000, b"{}")["webhook-signature"]
    assert signature != signed_headers([KEY], "c0ffee-8", 1_700_000_000, b"{}")["webhook-signature"]
    assert signature != signed_headers([KEY], "c0ffee-7", 1_700_000_001, b"{}")["webhook-signature"]
