"""A service that may open few files goes on serving, whatever the number of clients."""

import resource
import shutil
import time

import pytest

from tests.app.live.clients import EventStreamClient
from tests.app.server.attackers import HEAD, connect, cuts, many, until_served
from tests.servers import Gunicorn, LiveGunicorn
from tests.waiting import shortest

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


@pytest.fixture(scope="module", params=[FewFilesWsgi, FewFilesAsgi], ids=["wsgi", "asgi"])
def limited(request, migrated_sqlite, tmp_path_factory):
    path = shutil.copy(migrated_sqlite, tmp_path_factory.mktemp("limited") / "bookstall.db")
    with request.param(DATABASE_URL=f"sqlite:///{path}", WEB_CONCURRENCY="1") as server:
        yield server


def capacity_cuts(server):
    return sum(value for (_, reason), value in cuts(server).items() if reason == "capacity")


@pytest.mark.parametrize("sent", [b"", HEAD, REQUEST], ids=["silent", "heads", "idle"])
def test_new_clients_are_served_however_many_stay(limited, sent):

    def serve_beside_them():
        logged, before = limited.log.read_text().count("\n"), capacity_cuts(limited)
        with many(limited, 3 * FILES, sent):
            began = time.monotonic()
            for _ in range(5):
                until_served(limited, "/healthz")
            seconds = time.monotonic() - began
            assert capacity_cuts(limited) > before
        requests = 3 * FILES if sent == REQUEST else 0
        assert limited.log.read_text().count("\n") - logged < requests + 100
        return seconds

    # After thirty seconds the others would be cut.
    assert shortest(serve_beside_them, 15) < 15
    assert "Traceback" not in limited.log.read_text()


@pytest.mark.parametrize("limited", [FewFilesAsgi], ids=["asgi"], indirect=True)
def test_a_request_in_progress_and_a_stream_are_not_cut_for_others(limited):
    query = "subscription { reviewAdded { cursor } }"
    with (
        EventStreamClient(limited, query) as stream,
        connect(limited, b"POST /books HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n") as slow,
    ):
        body = b'{"title": "Emma", "author": "Jane Austen"}'
        slow.sendall(b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert slow.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"  # the server has read it
        with many(limited, 3 * FILES, b""):
            until_served(limited, "/healthz")
            slow.sendall(body)
            assert slow.recv(12) == b"HTTP/1.1 201"
            assert next(stream.lines()).startswith(":")
