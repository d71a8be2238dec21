"""A service that may open few files goes on serving, whatever the number of clients."""

import resource
import shutil
import time

import pytest

from tests.app.live.clients import EventStreamClient
from tests.app.server.attackers import HEAD, connect, cuts, many
from tests.servers import Gunicorn, LiveGunicorn

FILES = 256
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


class FewFiles:
    """A service under a low limit of open files."""

    def popen_options(self):
        limits = (FILES, FILES)
        return {
            **super().popen_options(),
            "preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limits),
        }


class FewFilesWsgi(FewFiles, Gunicorn):
    """The same under the wsgi worker."""


class FewFilesAsgi(FewFiles, LiveGunicorn):
    """The same under the asgi worker."""


def until_served(server):
    """Wait until a request is served; clients may be refused for a moment."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return server.request("GET", "/healthz")[0]
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture(scope="module", params=[FewFilesWsgi, FewFilesAsgi], ids=["wsgi", "asgi"])
def limited(request, migrated_sqlite, tmp_path_factory):
    path = shutil.copy(migrated_sqlite, tmp_path_factory.mktemp("limited") / "bookstall.db")
    with request.param(DATABASE_URL=f"sqlite:///{path}", WEB_CONCURRENCY="1") as server:
        yield server


def capacity_cuts(server):
    return sum(value for (_, reason), value in cuts(server).items() if reason == "capacity")


@pytest.mark.parametrize("sent", [b"", HEAD, REQUEST], ids=["silent", "heads", "idle"])
def test_new_clients_are_served_however_many_stay(limited, sent):
    began, before = limited.log.read_text().count("\n"), capacity_cuts(limited)
    with many(limited, 3 * FILES, sent):
        for _ in range(5):
            assert until_served(limited) == 200
        assert capacity_cuts(limited) > before
    requests = 3 * FILES if sent == REQUEST else 0
    assert limited.log.read_text().count("\n") - began < requests + 100
    assert "Traceback" not in limited.log.read_text()


@pytest.mark.parametrize("limited", [FewFilesAsgi], ids=["asgi"], indirect=True)
def test_a_request_in_progress_and_a_stream_are_not_cut_for_others(limited):
    query = "subscription { reviewAdded { cursor } }"
    with (
        EventStreamClient(limited, query) as stream,
        connect(limited, b"POST /books HTTP/1.1\r\nHost: x\r\n") as slow,
    ):
        body = b'{"title": "Emma", "author": "Jane Austen"}'
        slow.sendall(b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
        time.sleep(0.2)
        with many(limited, 3 * FILES, b""):
            assert until_served(limited) == 200
            slow.sendall(body)
            assert slow.recv(12) == b"HTTP/1.1 201"
            assert next(stream.lines()).startswith(":")
