"""The client address: which requests share a quota."""

import pytest

from app.auth.client_address import normalize_address


def test_a_forged_forwarded_for_has_no_effect(make_limited):
    client = make_limited().test_client()
    received = [
        client.get("/books", headers={"X-Forwarded-For": f"192.0.2.{number}"}).status_code
        for number in range(15)
    ]
    assert received.count(200) == 10


@pytest.mark.parametrize(
    ("proxies", "header", "same"),
    [
        (1, "{forged}, 198.51.100.7", True),
        (1, "{forged}", False),
        (1, "198.51.100.7, {forged}", False),
        (2, "{forged}, 198.51.100.7, 203.0.113.1", True),
        (2, "198.51.100.7, {forged}, 203.0.113.1", False),
        (3, "{forged}, 203.0.113.1", True),  # it did not pass three proxies: the peer counts
        (1, "{forged}, nonsense", True),
        (1, "{forged}, 198.51.100.7:4711", True),
        (1, "{forged}, ::ffff:198.51.100.7", True),
        (1, "{forged},", True),
    ],
)
def test_forwarded_for_is_read_from_the_right(make_limited, proxies, header, same):
    client = make_limited(trusted_proxies=proxies).test_client()
    sent = [header.format(forged=f"192.0.2.{number}") for number in range(15)]
    received = [client.get("/books", headers={"X-Forwarded-For": h}).status_code for h in sent]
    assert received.count(200) == (10 if same else 15)


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:80", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::ffff:c000:207", "192.0.2.7"),
        ("[::ffff:192.0.2.7]:80", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]:443", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9%eth0", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::9", "2001:db8:1:3::/64"),
        ("", "unknown"),
        ("unix", "unknown"),
        ("010.0.0.1", "unknown"),
        ("1.2.3", "unknown"),
    ],
)
def test_an_address_is_normalized(text, counted):
    assert normalize_address(text) == counted


def test_ipv6_addresses_of_one_network_share_a_quota_and_other_networks_do_not(make_limited):
    client = make_limited().test_client()
    network = [{"REMOTE_ADDR": f"2001:db8:1:2::{number}"} for number in range(1, 13)]
    received = [client.get("/books", environ_overrides=address).status_code for address in network]
    assert received.count(200) == 10
    other = {"REMOTE_ADDR": "2001:db8:1:3::1"}
    assert client.get("/books", environ_overrides=other).status_code == 200
