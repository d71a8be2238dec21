"""Where the service listens: an address in use stops the start, and the true one is announced."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.server.addresses import announcement
from stack.process import free_port
from tests.servers import Gunicorn, LiveGunicorn

ROOT = Path(__file__).parents[3]
WSGI, ASGI = ("wsgi:app",), ("-k", "asgi", "--reuse-port", "asgi:app")


@pytest.fixture
def environment(sqlite_database, tmp_path):
    (tmp_path / "tmp").mkdir()
    return {
        "DATABASE_URL": sqlite_database,
        "SECRET_KEY": "a secret of the tests",
        "LOG_FORMAT": "text",
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(tmp_path / "tmp"),
        "PATH": os.environ["PATH"],
    }


def run(environment, *words, seconds=60):
    return subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), *words],
        env=environment,
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=seconds,
    )


def assert_refused(done, environment, reason):
    assert done.returncode != 0
    assert done.stdout == ""
    assert re.fullmatch(rf"bookstall: cannot listen on {reason}\n", done.stderr), done.stderr
    assert list(Path(environment["TMPDIR"]).iterdir()) == []


@pytest.mark.parametrize("second", [WSGI, ASGI])
@pytest.mark.parametrize("first", [Gunicorn, LiveGunicorn])
def test_a_second_server_on_the_same_port_is_refused(first, second, environment, sqlite_database):
    with first(DATABASE_URL=sqlite_database) as server:
        done = run({**environment, "PORT": str(server.port)}, *second)
        assert_refused(done, environment, rf"127\.0\.0\.1:{server.port}: it is in use; .*")
        assert server.request("GET", "/healthz")[0] == 200


@pytest.mark.parametrize(
    ("taken", "wanted"),
    [
        (("127.0.0.1", 0), "127.0.0.1:{}"),
        (("127.0.0.1", 0), "0.0.0.0:{}"),
        (("0.0.0.0", 0), "127.0.0.1:{}"),
        (("::1", 0), "[::1]:{}"),
    ],
)
@pytest.mark.parametrize("command", [WSGI, ASGI])
def test_an_address_of_another_program_is_refused(command, taken, wanted, environment):
    family = socket.AF_INET6 if ":" in taken[0] else socket.AF_INET
    with socket.create_server(taken, family=family, reuse_port=True) as other:
        wanted = wanted.format(other.getsockname()[1])
        done = run(environment, "-b", wanted, *command)
        assert_refused(done, environment, re.escape(wanted) + ": it is in use; .*")


def test_one_of_several_addresses_in_use_is_named(environment):
    free = free_port()
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        done = run(environment, "-b", f"127.0.0.1:{free}", "-b", f"127.0.0.1:{taken}", *ASGI)
    assert_refused(done, environment, rf"127\.0\.0\.1:{taken}: it is in use; .*")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"HOST": "192.0.2.1"}, r"192\.0\.2\.1:8000: .+"),
        ({"HOST": "no.such.host.invalid"}, r"no\.such\.host\.invalid:8000: .+"),
        ({"HOST": "2001:db8::1"}, r"\[2001:db8::1\]:8000: .+"),
    ],
)
@pytest.mark.parametrize("command", [WSGI, ASGI])
def test_an_address_that_cannot_be_used_is_refused(command, settings, reason, environment):
    assert_refused(run({**environment, **settings}, *command), environment, reason)


@pytest.mark.parametrize("command", [WSGI, ASGI])
def test_a_unix_socket_in_use_is_refused_and_stays(command, environment, tmp_path):
    path = tmp_path / "it.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        done = run(environment, "-b", f"unix:{path}", *command)
        assert_refused(done, environment, f"unix:{path}: it is in use; .*")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


@pytest.mark.parametrize("name", ["no/folder/it.sock", "file"])
def test_a_path_that_cannot_be_a_socket_is_refused(name, environment, tmp_path):
    (tmp_path / "file").write_text("kept")
    done = run(environment, "-b", f"unix:{tmp_path / name}", *WSGI)
    assert_refused(done, environment, f"unix:{tmp_path / name}: .+")
    assert (tmp_path / "file").read_text() == "kept"


class Started:
    """A gunicorn with these words, until its announcement."""

    def __init__(self, environment, *words, **options):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), *words],
            env=environment,
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,
        )
        self.lines = []
        for line in self.process.stderr:
            self.lines.append(line)
            if line.startswith("Bookstall listens on"):
                break

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)

    @property
    def announced(self):
        return self.lines[-1].strip()


@pytest.mark.parametrize("command", [WSGI, ASGI])
def test_the_address_of_the_command_line_is_announced(command, environment):
    port = free_port()
    with Started({**environment, "PORT": "8000"}, "-b", f"127.0.0.1:{port}", *command) as server:
        url = f"http://127.0.0.1:{port}"
        documentation = f"its documentation is at {url}/docs"
        assert server.announced == f"Bookstall listens on {url}, {documentation}"


@pytest.mark.parametrize("command", [WSGI, ASGI])
def test_a_port_that_the_system_chooses_is_announced_and_served(command, environment):
    with Started(environment, "-b", "127.0.0.1:0", *command) as server:
        port = int(re.search(r"http://127\.0\.0\.1:(\d+),", server.announced)[1])
        assert port != 0
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("command", [WSGI, ASGI])
def test_a_unix_socket_is_announced_and_served(command, environment, tmp_path):
    path = tmp_path / "it.sock"
    with Started(environment, "-b", f"unix:{path}", *command) as server:
        assert server.announced == f"Bookstall listens on unix:{path}"
        for _ in range(5):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(30)
                client.connect(str(path))
                client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert client.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("command", [WSGI, ASGI])
def test_a_socket_of_systemd_is_used_and_announced(command, environment):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        # As systemd passes it: descriptor 3, for the process id of gunicorn.
        shell = 'exec 3<&"$0"; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"'
        words = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), *command]
        process = subprocess.Popen(
            ["/bin/bash", "-c", shell, str(listener.fileno()), *words],
            env={**environment, "PORT": "8000"},
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=[listener.fileno()],
        )
        listener.close()
        try:
            line = next(line for line in process.stderr if line.startswith("Bookstall"))
            assert f"listens on http://127.0.0.1:{port}," in line
            with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
                client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert client.recv(100).startswith(b"HTTP/1.1 200")
        finally:
            process.terminate()
            process.communicate(timeout=60)


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


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_master_leaves_is_removed_by_the_next_start(number, environment, sqlite_database):
    temporary = Path(environment["TMPDIR"])
    foreign = temporary / "bookstall-metrics-foreign"
    foreign.mkdir()
    running = LiveGunicorn(DATABASE_URL=sqlite_database, TMPDIR=str(temporary))
    with running, LiveGunicorn(DATABASE_URL=sqlite_database, TMPDIR=str(temporary)) as other:
        (of_other,) = set(temporary.glob("bookstall-metrics-*")) - {
            foreign,
            *(folder_of(worker) for worker in running.workers()),
        }
        other._master().send_signal(number)
        other._master().wait(40)
        assert of_other.exists() == (number == signal.SIGKILL)
        with LiveGunicorn(DATABASE_URL=sqlite_database, TMPDIR=str(temporary)):
            assert not of_other.exists()
            assert foreign.exists()
            assert running.request("GET", "/metrics")[0] == 200
            assert len(list(temporary.glob("bookstall-metrics-*"))) == 3


def folder_of(process):
    lines = Path(f"/proc/{process}/maps").read_text().splitlines()
    (folder,) = {Path(line.split()[-1]).parent for line in lines if "bookstall-metrics-" in line}
    return folder
