"""Where the service listens: an address in use stops the start, and the true one is announced."""

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from app.server.addresses import announcement
from stack.process import free_port
from stress.http_client import HttpConnection, get
from stress.service import LiveService, Service
from tests.waiting import PATIENCE, wait_until

ROOT = Path(__file__).parents[3]
WSGI = ("tests.app.server.small:wsgi",)
ASGI = ("-k", "asgi", "--reuse-port", "tests.app.server.small:asgi")
BOTH = (WSGI, ASGI)


@pytest.fixture
def temporary(tmp_path):
    (tmp_path / "tmp").mkdir()
    return tmp_path / "tmp"


@pytest.fixture
def start(sqlite_database, temporary):
    """A factory of processes of gunicorn."""

    def start(*words, before=(), pass_fds=(), **settings):
        config = str(ROOT / "gunicorn.conf.py")
        process = subprocess.Popen(
            [*before, sys.executable, "-m", "gunicorn", "-c", config, *words],
            env={
                "DATABASE_URL": sqlite_database,
                "SECRET_KEY": "a secret of the tests",
                "LOG_FORMAT": "text",
                "WEB_CONCURRENCY": "1",
                "PYTHONPATH": str(ROOT),
                "TMPDIR": str(temporary),
                "PATH": os.environ["PATH"],
                **settings,
            },
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=pass_fds,
        )
        started.callback(process.communicate, timeout=PATIENCE)
        started.callback(process.terminate)
        return process

    with ExitStack() as started:
        yield start


@pytest.fixture
def assert_refused(temporary):
    def check(started):
        """Check the reasons of processes, which were started together as each waits for seconds."""
        for process, reason in started:
            output, errors = process.communicate(timeout=PATIENCE)
            assert process.returncode != 0
            assert output == ""
            assert re.fullmatch(rf"bookstall: cannot listen on {reason}\n", errors), errors
        assert list(temporary.iterdir()) == []

    return check


def in_use(address):
    return re.escape(address) + ": it is in use; .*"


def test_a_second_server_on_the_same_port_is_refused(served, start, assert_refused):
    reason = in_use(f"127.0.0.1:{served.port}")
    assert_refused([(start(*second, PORT=str(served.port)), reason) for second in BOTH])
    assert served.request("GET", "/healthz")[0] == 200


def test_an_address_of_another_program_is_refused(start, assert_refused):
    started = []
    with ExitStack() as others:
        for taken, host in (
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1", "0.0.0.0"),
            ("0.0.0.0", "127.0.0.1"),
            ("::1", "[::1]"),
        ):
            family = socket.AF_INET6 if ":" in taken else socket.AF_INET
            other = socket.create_server((taken, 0), family=family, reuse_port=True)
            wanted = f"{host}:{others.enter_context(other).getsockname()[1]}"
            started += [(start("-b", wanted, *command), in_use(wanted)) for command in BOTH]
        assert_refused(started)


def test_one_of_several_addresses_in_use_is_named(start, assert_refused):
    free = free_port()
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        process = start("-b", f"127.0.0.1:{free}", "-b", taken, *ASGI)
        assert_refused([(process, in_use(taken))])


def test_an_address_that_cannot_be_used_is_refused(start, assert_refused):
    reasons = {
        "192.0.2.1": r"192\.0\.2\.1:8000: .+",
        "no.such.host.invalid": r"no\.such\.host\.invalid:8000: .+",
        "2001:db8::1": r"\[2001:db8::1\]:8000: .+",
    }
    assert_refused(
        [
            (start(*command, HOST=host), reason)
            for host, reason in reasons.items()
            for command in BOTH
        ]
    )


def test_a_unix_socket_in_use_is_refused_and_stays(start, assert_refused, tmp_path):
    path = tmp_path / "it.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        wanted = f"unix:{path}"
        assert_refused([(start("-b", wanted, *command), in_use(wanted)) for command in BOTH])
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_path_that_cannot_be_a_socket_is_refused(start, assert_refused, tmp_path):
    file = tmp_path / "file"
    file.write_text("kept")
    wanted = [f"unix:{path}" for path in (tmp_path / "no/folder/it.sock", file)]
    assert_refused([(start("-b", each, *WSGI), f"{re.escape(each)}: .+") for each in wanted])
    assert file.read_text() == "kept"


def announced(process):
    """Return the announcement of gunicorn as soon as it is written."""
    return next(line.strip() for line in process.stderr if line.startswith("Bookstall listens on"))


def assert_serves(address):
    """Send a request to a port, or to the path of a Unix socket."""
    is_port = isinstance(address, int)
    with socket.socket(socket.AF_INET if is_port else socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        if is_port:
            wait_until(lambda: client.connect_ex(("127.0.0.1", address)) == 0)
        else:
            client.connect(str(address))
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("command", BOTH)
def test_the_address_of_the_command_line_is_announced_and_served(command, start):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server = start("-b", f"127.0.0.1:{port}", *command, PORT="8000")
    documentation = f"its documentation is at {url}/docs"
    assert announced(server) == f"Bookstall listens on {url}, {documentation}"
    assert_serves(port)


@pytest.mark.parametrize("command", BOTH)
def test_a_port_that_the_system_chooses_is_announced_and_served(command, start):
    line = announced(start("-b", "127.0.0.1:0", *command))
    port = int(re.search(r"http://127\.0\.0\.1:(\d+),", line)[1])
    assert port != 0
    assert_serves(port)


@pytest.mark.parametrize("command", BOTH)
def test_a_unix_socket_is_announced_and_served(command, start, tmp_path):
    path = tmp_path / "it.sock"
    server = start("-b", f"unix:{path}", *command, WEB_CONCURRENCY="2")
    assert announced(server) == f"Bookstall listens on unix:{path}"
    for _ in range(5):
        assert_serves(path)


@pytest.mark.parametrize("command", BOTH)
def test_a_socket_of_systemd_is_used_and_announced(command, start):
    # As systemd passes it: descriptor 3, for the process id of gunicorn.
    shell = 'exec 3<&"$0"; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"'
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, descriptor = listener.getsockname()[1], listener.fileno()
        before = ("/bin/bash", "-c", shell, str(descriptor))
        server = start(*command, before=before, pass_fds=[descriptor], PORT="8000")
    assert f"listens on http://127.0.0.1:{port}," in announced(server)
    assert_serves(port)


@pytest.mark.parametrize(
    ("addresses", "scheme", "line"),
    [
        ([("127.0.0.1", 80)], "http", "http://127.0.0.1:80, its documentation is at {0}/docs"),
        ([("127.0.0.1", 80)], "https", "https://127.0.0.1:80, its documentation is at {0}/docs"),
        ([("::1", 80, 0, 0)], "http", "http://[::1]:80, its documentation is at {0}/docs"),
        (["/run/it.sock"], "http", "unix:/run/it.sock"),
        (
            [("0.0.0.0", 80)],
            "http",
            "http://127.0.0.1:80 and all other addresses of this host,"
            " its documentation is at {0}/docs",
        ),
        (
            [("127.0.0.1", 80), ("::1", 81)],
            "http",
            "http://127.0.0.1:80, http://[::1]:81, its documentation is at {0}/docs",
        ),
    ],
)
def test_the_announcement(addresses, scheme, line):
    first = line.split(",")[0].split(" ")[0]
    assert announcement(addresses, scheme) == f"Bookstall listens on {line.format(first)}"


def test_what_a_master_leaves_is_removed_by_the_next_start(temporary, sqlite_database):
    foreign = temporary / "bookstall-metrics-foreign"
    foreign.mkdir()
    settings = {"DATABASE_URL": sqlite_database, "TMPDIR": str(temporary)}
    with (
        LiveService("asgi:app", 1, **settings) as running,
        LiveService(ASGI[-1], 1, **settings) as killed,
        LiveService(ASGI[-1], 1, **settings) as stopped,
    ):
        of_killed, of_stopped = folder_of(killed), folder_of(stopped)
        left = killed.workers()
        for server, number in ((killed, signal.SIGKILL), (stopped, signal.SIGTERM)):
            server._master().send_signal(number)
            server._master().wait(PATIENCE)
        assert of_killed.exists()
        assert not of_stopped.exists()
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left))
        with Service(WSGI[-1], 1, **settings):
            assert not of_killed.exists()
            assert foreign.exists()
            with closing(HttpConnection(running.port)) as client:
                assert client.request(get("/metrics")).status == 200
            assert len(list(temporary.glob("bookstall-metrics-*"))) == 3


def folder_of(server):
    (worker,) = server.workers()
    lines = Path(f"/proc/{worker}/maps").read_text().splitlines()
    (folder,) = {Path(line.split()[-1]).parent for line in lines if "bookstall-metrics-" in line}
    return folder
