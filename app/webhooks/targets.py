"""Which URLs and which addresses webhooks may go to.

A URL is checked when it is stored, and the addresses of its host before each connection: a name
may lead anywhere, and elsewhere each time it is resolved.
"""

import re
import socket
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import NamedTuple
from urllib.parse import urlsplit

DEFAULT_PORTS = {"https": 443, "http": 80}
HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
VISIBLE = re.compile(r"[!-\[\]-~]+")
"""The visible characters of ASCII, but for the backslash, which programs read in different ways."""
Network = IPv4Network | IPv6Network


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(map(ip_network, text.split()))


# Written out from the registries of IANA: what ``is_global`` returns has changed between releases
# of Python.
NOT_PUBLIC = _networks(
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24"
    " 192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24"
    " 224.0.0.0/3 2001::/23 2001:db8::/32 2002::/16 3fff::/20"
)
"""All of IPv4 that is not public, and the parts of GLOBAL_UNICAST that are not: protocols such as
Teredo and 6to4, which contain an address of IPv4, and documentation."""
GLOBAL_UNICAST = IPv6Network("2000::/3")
"""The only addresses of IPv6 that can be public, apart from those of NAT64."""
NAT64 = IPv6Network("64:ff9b::/96")
"""An address of IPv4 in the last 32 bits, which a gateway connects to."""
NO_HOST = _networks("0.0.0.0/8 224.0.0.0/3 ::/128 ff00::/8")
"""Unspecified, multicast, reserved: no address of one host, even where private ones are allowed."""


class TargetRefused(Exception):
    """A host has an address that webhooks may not go to."""


class Target(NamedTuple):
    """A URL in the parts that a request needs."""

    scheme: str
    host: str
    port: int
    path: str
    """With the query."""

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def parse_target(url: str, *, private: bool) -> Target:
    """Return the URL of a webhook in its parts; raise ValueError, which says what is wrong.

    ``private`` allows http, and addresses that are not public.
    """
    if not VISIBLE.fullmatch(url):
        raise ValueError("must be a URL in ASCII, without spaces and backslashes")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme != "https" and not (private and parts.scheme == "http"):
        raise ValueError("must start with https://")
    if "@" in parts.netloc:
        raise ValueError("must not contain a user name or a password")
    if "#" in url:
        raise ValueError("must not contain a fragment")
    if not host or port == 0 or ("[" in parts.netloc) != (":" in host):
        raise ValueError("is not a URL")
    _check_host(host, private=private)
    path = f"{parts.path or '/'}?{parts.query}" if "?" in url else parts.path or "/"
    return Target(parts.scheme, host, port or DEFAULT_PORTS[parts.scheme], path)


def check_address(text: str, *, private: bool) -> None:
    """Raise TargetRefused for an address, as a resolver returns it, that must not be called."""
    # The scope of a link-local address follows a percent sign.
    address = ip_address(text.partition("%")[0])
    refused = _is_in(address, NO_HOST) if private else not is_public(address)
    if refused:
        # Not which one: a client must not learn what internal names lead to.
        raise TargetRefused("its host has an address that is not public")


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Return whether an address belongs to one host of the public internet."""
    if address in NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    if isinstance(address, IPv6Address) and address not in GLOBAL_UNICAST:
        return False
    return not _is_in(address, NOT_PUBLIC)


def _is_in(address: IPv4Address | IPv6Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


def _check_host(host: str, *, private: bool) -> None:
    literal = _literal_address(host)
    if literal is not None:
        try:
            check_address(literal, private=private)
        except ValueError:
            raise ValueError("is not a URL") from None
        except TargetRefused:
            raise ValueError("must lead to a public address") from None
    elif not HOST_NAME.fullmatch(host):
        raise ValueError("has no valid host name")
    elif not private and (host == "localhost" or host.endswith(".localhost")):
        raise ValueError("must lead to a public address")


def _literal_address(host: str) -> str | None:
    """Return the address that ``host`` is, in any notation that a resolver accepts, or None."""
    try:
        # Also 2130706433, 0x7f.1 and 0177.0.0.1.
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return host if ":" in host and "%" not in host else None
