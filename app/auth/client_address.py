"""The network address that identifies a client without an API key."""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

IPV6_PREFIX_BITS = 64
"""A customer of an IPv6 provider has at least a /64, and can use any address in it."""


def sent_address(environ: Mapping[str, Any], trusted_proxies: int) -> str:
    """Return the address of the client as the server or the outermost trusted proxy wrote it.

    Each trusted proxy appends the address of its own client to X-Forwarded-For. The entries
    before those come from the client and cannot be trusted.
    """
    peer = str(environ.get("REMOTE_ADDR", ""))
    if not trusted_proxies:
        return peer
    chain = [*environ.get("HTTP_X_FORWARDED_FOR", "").split(","), peer]
    if len(chain) <= trusted_proxies:  # it bypassed a proxy
        return peer
    forwarded = chain[-1 - trusted_proxies].strip()
    return forwarded if _parse(forwarded) else peer


# Cached, because parsing an address takes longer than the rest of identifying a client.
@lru_cache(maxsize=4_096)
def exact_address(text: str) -> str:
    """Return the address without port and zone, for the log; else ``unknown``."""
    address = _parse(text)
    return "unknown" if address is None else str(address)


@lru_cache(maxsize=4_096)
def normalize_address(text: str) -> str:
    """Return an IPv4 address unchanged, the /64 of an IPv6 address, else ``unknown``."""
    address = _parse(text)
    if address is None:
        return "unknown"
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address), IPV6_PREFIX_BITS), strict=False))
    return str(address)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(_strip(text))
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def _strip(text: str) -> str:
    """Remove the brackets, the port and the zone that some proxies add."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:  # IPv4 with a port
        text = text.partition(":")[0]
    return text.partition("%")[0]
