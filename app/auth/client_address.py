"""Who calls, by network address: what counts as one client among those without a key."""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

KEPT = 4_096
"""How many addresses a process keeps the answer for: parsing costs more than all the rest."""
SITE_BITS = 64
"""A customer of an IPv6 network has at least so many leading bits to himself, and can take any
address behind them."""
PORT_SEPARATORS = 1
"""The colons of an IPv4 address with a port; IPv6 has more."""


def client_of(environ: Mapping[str, Any], trusted_proxies: int) -> str:
    """Name the client's network.

    Each trusted proxy has added, at the right end of X-Forwarded-For, the address that it was
    called from. What stands further left came from the client and may be invented.
    """
    peer = str(environ.get("REMOTE_ADDR", ""))
    if not trusted_proxies:
        return network(peer)
    chain = [*environ.get("HTTP_X_FORWARDED_FOR", "").split(","), peer]
    if len(chain) <= trusted_proxies:  # it did not come through them all
        return network(peer)
    told = chain[-1 - trusted_proxies].strip()
    return network(told if _parsed(told) else peer)


@lru_cache(KEPT)
def network(text: str) -> str:
    """Return an IPv4 address as it is, an IPv6 address as its /64, anything else as ``unknown``."""
    address = _parsed(text)
    if address is None:
        return "unknown"
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address), SITE_BITS), strict=False))
    return str(address)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(_bare(text))
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def _bare(text: str) -> str:
    """Take off the brackets, the port and the zone that some proxies write."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == PORT_SEPARATORS:
        text = text.partition(":")[0]
    return text.partition("%")[0]
