"""The proxies of deploy/, real ones, in front of the service."""

import getpass
import http.client
import json
import re
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest

from stack.process import Server
from tests.app.live.clients import EventStreamClient, WebSocketClient
from tests.app.live.event_source import EventSource
from tests.app.server.attackers import BODY, HEAD, connect, cuts, many
from tests.servers import Gunicorn, LiveGunicorn
from tests.waiting import PATIENCE, wait_until

DEPLOY = Path(__file__).parents[3] / "deploy"
FOLDERS = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
PROGRAMS = {name: shutil.which(name, path=FOLDERS) for name in ("nginx", "haproxy")}
SUBSCRIPTION = "subscription { reviewAdded { review { text } } }"
REVIEW = b'{"rating": 4, "reviewer": "Ana", "text": "Read in one night."}'
MIB = 1_048_576


def needs(name):
    return pytest.mark.skipif(PROGRAMS[name] is None, reason=f"{name} is not installed")


class Proxy(Server):
    """A proxy with its configuration of deploy/, at other ports."""

    request = Gunicorn.request

    def __init__(self, service):
        super().__init__()
        self.service = service
        (self.folder / "proxy.conf").write_text(self.configure(service))

    def cursor(self):
        return self.service.cursor()

    def is_ready(self):
        try:
            with connect(self):
                return True
        except OSError:
            return False

    def request_from(self, address, **headers):
        """Return the status of a GET from an address of this host."""
        source = (address, 0)
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=PATIENCE, source_address=source
        )
        try:
            connection.request("GET", "/openapi.json", headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()


class Nginx(Proxy):
    def configure(self, service):
        site = (DEPLOY / "nginx.conf").read_text()
        site = site.replace("127.0.0.1:8000", f"127.0.0.1:{service.port}")
        site = site.replace("listen 80;", f"listen 127.0.0.1:{self.port};")
        paths = "".join(
            f"{name}_temp_path {self.folder}/{name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        return (
            f"daemon off;\nworker_processes 1;\npid {self.folder}/nginx.pid;\n"
            f"user {getpass.getuser()};\n"  # its folder belongs to this user
            f"error_log stderr;\nevents {{ worker_connections 1024; }}\n"
            f"http {{\naccess_log off;\n{paths}{site}}}\n"
        )

    def command(self):
        config = str(self.folder / "proxy.conf")
        return [PROGRAMS["nginx"], "-c", config, "-p", str(self.folder), "-e", "stderr"]


class HAProxy(Proxy):
    """Of its two hosts one is down."""

    def configure(self, service):
        text = (DEPLOY / "haproxy.cfg").read_text()
        text = text.replace("10.0.0.1:8000", f"127.0.0.1:{service.port}")
        text = text.replace("10.0.0.2:8000", "127.0.0.1:1")
        # They need root.
        text = re.sub(r"^ +(maxconn|user|group|stats) .*\n", "", text, flags=re.MULTILINE)
        return text.replace("bind :80", f"bind 127.0.0.1:{self.port}")

    def command(self):
        return [PROGRAMS["haproxy"], "-db", "-f", str(self.folder / "proxy.conf")]


@needs("nginx")
@pytest.mark.parametrize("kind", [Gunicorn, LiveGunicorn], ids=["wsgi", "asgi"])
def test_the_service_is_reached_through_nginx_and_half_requests_are_not_passed_on(
    kind, sqlite_database
):
    settings = {"TRUSTED_PROXIES": "1", "RATE_LIMIT_READ": "20/hour"}
    with kind(DATABASE_URL=sqlite_database, **settings) as service, Nginx(service) as proxy:
        assert "buffering proxy" not in service.log.read_text()
        body = b'{"title": "Emma", "author": "Jane Austen"}'
        with many(proxy, 40, HEAD), many(proxy, 40, BODY):
            assert proxy.request("POST", "/books", body)[0] == 201
            assert proxy.request("GET", "/books")[0] == 200
        assert proxy.request("GET", "/metrics")[0] == 403
        assert not any(cuts(service).values())
        check_uploads(proxy)
        check_addresses(proxy)
        if kind is LiveGunicorn:
            check_live(proxy)


@needs("haproxy")
def test_the_service_is_reached_through_haproxy_while_another_host_is_down(sqlite_database):
    settings = {"TRUSTED_PROXIES": "1", "RATE_LIMIT_READ": "20/hour"}
    with (
        LiveGunicorn(DATABASE_URL=sqlite_database, **settings) as service,
        HAProxy(service) as proxy,
    ):
        body = b'{"title": "Emma", "author": "Jane Austen"}'
        for _ in range(4):  # to either host, until the first check
            assert proxy.request("POST", "/books", body)[0] == 201
        assert proxy.request("GET", "/metrics")[0] == 403
        check_addresses(proxy)
        check_live(proxy)


@needs("haproxy")
def test_a_host_that_is_not_ready_says_so_itself_if_no_other_one_is(tmp_path):
    with (
        LiveGunicorn(DATABASE_URL=f"sqlite:///{tmp_path / 'empty.db'}") as service,
        HAProxy(service) as proxy,
    ):
        for line in ("backend 'ready' has no server available", "Server live/host2 is DOWN"):
            wait_until(lambda: line in proxy.log.read_text())  # noqa: B023 - it waits here
        status, headers, body = proxy.request("GET", "/books")
        assert (status, json.loads(body)["status"]) == (503, 503)
        assert headers["Retry-After"]
        check_connections(proxy)


def check_connections(proxy):
    """An address has a hundred connections at a time."""
    healthy = b"GET /healthz HTTP/1.1\r\nHost: shop\r\n\r\n"
    with ExitStack() as opened:

        def status():
            return opened.enter_context(connect(proxy, healthy)).recv(12)

        for _ in range(100):  # the proxy may not have noticed the end of earlier ones yet
            wait_until(lambda: status() == b"HTTP/1.1 200")
        assert status() == b"HTTP/1.1 429"


def check_uploads(proxy):
    """More than MAX_BODY_BYTES is refused by the proxy, but bulk requests may be larger."""
    too_large = b"{" + b" " * MIB
    assert proxy.request("POST", "/books", too_large)[0] == 413
    assert proxy.request("POST", "/products/bulk", too_large)[0] == 400


def check_addresses(proxy):
    """Clients have quotas of their own, whatever they send as X-Forwarded-For."""
    assert proxy.request_from("127.0.0.2") == 200
    forged = iter(range(1, 255))
    wait_until(
        lambda: (
            proxy.request_from("127.0.0.3", **{"X-Forwarded-For": f"10.9.8.{next(forged)}"}) == 429
        )
    )
    assert proxy.request_from("127.0.0.2") == 200


def check_live(proxy):
    """Events arrive while their connections stay open."""
    with (
        WebSocketClient(proxy) as client,
        EventStreamClient(proxy, SUBSCRIPTION) as stream,
        EventSource(proxy, "/changes?after=now&type=review.created") as changes,
    ):
        client.init().subscribe()
        status, _, body = proxy.request("POST", "/books/1/reviews", REVIEW)
        assert status == 201, body
        assert client.texts(1) == ["Read in one night."]
        assert stream.next()[1]["data"]["reviewAdded"]["review"]["text"] == "Read in one night."
        assert changes.wait_for(1)[0][1]["data"]["text"] == "Read in one night."
