"""Hosts on one Ethernet: a network namespace each, and a bridge in the namespace of the run."""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "10.77.0."
NETWORK = f"{PREFIX}0/24"
ADDRESS = f"{PREFIX}1"
"""Where the clients and the proxy are: in the namespace of the run, which has the bridge."""
BRIDGE = "hosts"
NAMESPACES = Path("/run/netns")
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Network:
    """A bridge, and the hosts that are connected to it."""

    def __init__(self) -> None:
        self._hosts = 1  # that of ADDRESS
        NAMESPACES.mkdir(exist_ok=True)
        run("mount", "-t", "tmpfs", "tmpfs", str(NAMESPACES))  # seen by this run alone
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", BRIDGE, "type", "bridge")
        run("ip", "address", "add", f"{ADDRESS}/24", "dev", BRIDGE)
        run("ip", "link", "set", BRIDGE, "up")

    def add(self, name: str) -> "Host":
        """Add a host."""
        self._hosts += 1
        return Host(name, f"{PREFIX}{self._hosts}")


class Host:
    """A network namespace with one interface."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address
        run("ip", "netns", "add", name)
        run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", name, "master", BRIDGE, "up")
        for command in (
            f"address add {address}/24 dev eth0",
            "link set lo up",
            "link set eth0 up",
        ):
            run("ip", "-netns", name, *command.split())

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Let this thread, and what it starts, use the network as a process of this host."""
        with _open("/proc/thread-self/ns/net") as before, _open(NAMESPACES / self.name) as inside:
            _set_namespace(inside)
            try:
                yield
            finally:
                _set_namespace(before)

    def cut_off(self, *others: "Host") -> None:
        """Drop all packets between this host and ``others``, or all other hosts."""
        for hook, direction, interface in (("input", "saddr", "i"), ("output", "daddr", "o")):
            addresses = ", ".join(other.address for other in others)
            packets = f"ip {direction} {{ {addresses} }}" if others else f"{interface}ifname eth0"
            self._filter(hook, f"{packets} drop")

    def slow_down(self, milliseconds: int, percent: int) -> None:
        """Delay what this host sends, and lose a part of it; without netem only the latter."""
        try:
            netem = f"root netem delay {milliseconds}ms loss {percent}%"
            run("tc", "-netns", self.name, "qdisc", "add", "dev", "eth0", *netem.split())
        except RuntimeError:
            self._filter("output", f"oifname eth0 numgen random mod 100 < {percent} drop")

    def heal(self) -> None:
        """Undo what the methods above did."""
        with self.entered():
            run("nft", "flush", "ruleset")
            remove = ("tc", "qdisc", "del", "dev", "eth0", "root")
            subprocess.run(remove, capture_output=True, check=False)  # there may be none

    def _filter(self, hook: str, rule: str) -> None:
        chain = f"chain {hook} {{ type filter hook {hook} priority 0; {rule}; }}"
        with self.entered():
            run("nft", f"table inet fault {{\n{chain}\n}}\n")


def run(*command: str) -> None:
    """Run a command; raise RuntimeError with what it printed if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


@contextmanager
def _open(path: str | Path) -> Iterator[int]:
    file = os.open(path, os.O_RDONLY)
    try:
        yield file
    finally:
        os.close(file)


def _set_namespace(file: int) -> None:
    if _libc.setns(file, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
