"""URLs and addresses that webhooks may and may not go to."""

from ipaddress import ip_address

import pytest

from app.webhooks.targets import (
    Target,
    TargetRefused,
    check_address,
    is_public,
    parse_target,
)

PUBLIC = ("93.184.216.34", "8.8.8.8", "2606:2800:220:1::1", "64:ff9b::808:808")
NOT_PUBLIC = (
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.31.0.1",
    "192.0.0.8",
    "192.168.0.1",
    "198.18.0.1",
    "203.0.113.5",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "2001:db8::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2002:7f00:1::",
    "2002:c0a8:1::1",
    "fc00::1",
    "fd12::1",
    "fe80::1",
    "fe80::1%lo",
    "fec0::1",
    "ff02::1",
)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_called(address):
    check_address(address, private=False)
    check_address(address, private=True)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_other_addresses_may_not(address):
    with pytest.raises(TargetRefused) as refused:
        check_address(address, private=False)
    assert address not in str(refused.value)


def test_what_python_calls_private_is_never_public():
    for first in range(256):
        for second in (0, 1, 16, 31, 51, 64, 88, 100, 127, 168, 254):
            address = ip_address(bytes([first, second, 2, 9]))
            if is_public(address):
                assert address.is_global
                assert not address.is_multicast
                assert not address.is_reserved


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.0.1", "::1", "fe80::1"])
def test_private_addresses_may_be_called_where_that_is_allowed(address):
    check_address(address, private=True)


@pytest.mark.parametrize("address", ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1"])
def test_addresses_of_no_host_are_refused_everywhere(address):
    with pytest.raises(TargetRefused):
        check_address(address, private=True)


def test_a_url_in_its_parts():
    url = "https://Hooks.example.com/a%20b?x=1&y=//z"
    assert parse_target(url, private=False) == Target(
        "https", "hooks.example.com", 443, "/a%20b?x=1&y=//z"
    )
    assert parse_target("https://example.com:8443", private=False).host_header == "example.com:8443"
    assert parse_target("https://[2606:2800:220:1::1]/", private=False).host_header == (
        "[2606:2800:220:1::1]"
    )
    assert parse_target("https://example.com?", private=False).path == "/?"


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://0/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://localhost/",
        "https://LOCALHOST:8443/",
        "https://a.localhost/",
    ],
)
def test_urls_of_private_addresses_are_refused_in_every_notation(url):
    with pytest.raises(ValueError, match="public address"):
        parse_target(url, private=False)
    if "://0/" not in url:
        parse_target(url, private=True)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "//example.com/",
        "ftp://example.com/",
        "http://example.com/",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://example.com@127.0.0.1/",
        "https://@example.com/",
        "https://example.com/#fragment",
        "https://example.com#",
        "https://example.com:0/",
        "https://example.com:65536/",
        "https://example.com:port/",
        "https://exa mple.com/",
        "https://example.com/a b",
        "https://example.com\\@127.0.0.1/",
        "https://example.com/\r\nHost:other",
        "https://ex\u00e4mple.com/",
        "https://example.com\u3002org/",
        "https://-example.com/",
        "https://example..com/",
        "https://example.com./",
        "https://[fe80::1%25lo]/",
        "https://[::1/",
        "https://[v1.x]/",
        "https://[example.com]/",
    ],
)
def test_other_texts_are_refused(url):
    with pytest.raises(ValueError):  # noqa: PT011 - each has its own message
        parse_target(url, private=False)


def test_http_is_allowed_where_private_addresses_are():
    assert parse_target("http://example.com/", private=True).port == 80
