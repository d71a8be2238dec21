"""What `make hosts` is made of; the whole run needs root, minutes, and programs of Debian."""

import shutil
import subprocess
import sys

import pytest

from stack.unprivileged import is_root
from stress.consistency.records import Read, Records
from stress.faults import Fault
from stress.hosts.__main__ import AS_INIT, ISOLATE, main
from stress.hosts.recovery import Period, longest_wait, recoveries
from stress.hosts.servers import HAProxy
from stress.http_client import Response
from stress.service import ROOT

TWO_HOSTS = """
import socket
from stress.hosts.network import Network

def connect(seconds=30):
    with one.entered(), socket.socket() as client:
        client.settimeout(seconds)
        return client.connect_ex(listener.getsockname())

network = Network()
one, two, other = map(network.add, ("one", "two", "other"))
with two.entered():
    listener = socket.create_server((two.address, 0))
one.cut_off(other)
print("another cut off:", connect() == 0)
one.cut_off(two)
print("cut off:", connect(0.3) == 0)
one.heal()
print("healed:", connect() == 0)
two.cut_off()
print("cut off from all:", connect(0.3) == 0)
two.heal()
two.slow_down(10, 1)
two.heal()
print("healed again:", connect() == 0)
"""
FAULT = Fault("host killed", 10.0, 12.0)


def response(ended: float, status: int = 200, seconds: float = 0.1) -> Response:
    return Response(ended - seconds, ended, status, "hit", "", b"")


@pytest.mark.skipif(
    not is_root() or not all(map(shutil.which, ("ip", "nft", "unshare", "setpriv"))),
    reason="network namespaces need root, iproute2 and nftables",
)
def test_a_host_reaches_the_others_unless_it_is_cut_off():
    command = [*ISOLATE, *AS_INIT, sys.executable, "-c", TWO_HOSTS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "another cut off: True",
        "cut off: False",
        "healed: True",
        "cut off from all: False",
        "healed again: True",
    ]


def test_without_root_or_a_program_the_run_ends_with_one_line(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SystemExit) as ended:
        main()
    packages = "haproxy iproute2 nftables pgbouncer util-linux"
    missing = f"hosts: missing, apt-get install {packages}"
    assert str(ended.value) == (missing if is_root() else "hosts: network namespaces need root")


def test_the_configuration_of_haproxy_gets_the_addresses_of_the_services():
    haproxy = HAProxy(["10.77.0.20:8001", "10.77.0.21:8002"])
    try:
        text = (haproxy.folder / "haproxy.cfg").read_text()
        assert f"bind 127.0.0.1:{haproxy.port}\n" in text
        assert f"stats socket {haproxy.folder}/admin.sock " in text
        for service in ("server host1 10.77.0.20:8001", "server host2 10.77.0.21:8002"):
            assert text.count(service) == text.count("\nbackend ")
    finally:
        haproxy.close()


def test_a_wait_begins_with_the_fault_and_ends_with_the_next_success():
    period = Period(FAULT, until=13.0)
    assert longest_wait([response(9.0), response(10.5), response(20.0)], period) == 2.5
    assert longest_wait([response(10.5), response(11.5), response(12.25)], period) == 1.0
    assert longest_wait([response(9.0), response(11.0, 503), response(12.5)], period) == 2.5


def test_the_table_counts_what_failed_until_the_next_fault():
    reads = [Read(response(at, status), "book") for at, status in ((9.0, 503), (10.5, 200))]
    reads += [Read(response(11.0, 503), "book"), Read(response(14.0, 200, 2.5), "book")]
    reads += [Read(response(18.0), "book")]
    records = Records(reads, [], broken=[13.0, 15.5])
    _, cut_off, killed = recoveries(records, [FAULT, Fault("cut off", 15.0, 16.0)])
    assert " ".join(killed.split()) == "host killed 1 2.00 3.50 5.00 2.50 3.00 503 1, broken 1"
    assert " ".join(cut_off.split()) == "cut off 1 1.00 3.00 3.00 0.00 0.50 broken 1"
