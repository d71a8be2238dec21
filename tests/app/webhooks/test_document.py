"""The code of docs/webhooks.md, as it is printed."""

import re
import time
from base64 import b64decode
from pathlib import Path

import pytest
from standardwebhooks import Webhook as StandardWebhook

from app.webhooks.secrets import new_secret
from app.webhooks.signing import signed_headers

DOCUMENT = Path(__file__).parents[3] / "docs/webhooks.md"
BODY = b'{"cursor":"4f1c2a9be1d25f0c-1207","type":"stock.changed"}'


@pytest.fixture(scope="module")
def is_genuine():
    (code,) = re.findall(r"```python\n(.+?)```", DOCUMENT.read_text(), re.DOTALL)
    names = {}
    exec(code, names)
    return names["is_genuine"]


def sign(*secrets, at=None):
    keys = [b64decode(secret.removeprefix("whsec_")) for secret in secrets]
    return signed_headers(keys, "4f1c2a9be1d25f0c-1207", int(at or time.time()), BODY)


def test_a_signed_request_is_genuine_for_it_and_for_the_published_library(is_genuine):
    secret = new_secret()
    headers = sign(secret)
    assert is_genuine(secret, headers, BODY)
    StandardWebhook(secret).verify(BODY, headers)


def test_during_a_rotation_either_secret_is_accepted(is_genuine):
    old, new = new_secret(), new_secret()
    headers = sign(new, old)
    assert is_genuine(old, headers, BODY)
    assert is_genuine(new, headers, BODY)
    assert not is_genuine(new_secret(), headers, BODY)


def test_what_was_changed_is_old_or_has_no_signature_is_not_genuine(is_genuine):
    secret = new_secret()
    headers = sign(secret)
    assert not is_genuine(secret, headers, BODY + b" ")
    assert not is_genuine(secret, {}, BODY)
    for name, value in (
        ("webhook-id", "4f1c2a9be1d25f0c-1208"),
        ("webhook-timestamp", "1"),
        ("webhook-timestamp", "now"),
        ("webhook-signature", ""),
        ("webhook-signature", "v1,"),
        ("webhook-signature", "v1,\xe9"),
    ):
        assert not is_genuine(secret, {**headers, name: value}, BODY), (name, value)
    for distance in (-301, 900):
        assert not is_genuine(secret, sign(secret, at=time.time() + distance), BODY)
