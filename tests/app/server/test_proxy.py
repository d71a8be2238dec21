"""The configuration of nginx in docs/bounds.md, in a real nginx."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from stack.process import Server
from tests.app.live.clients import EventStreamClient, WebSocketClient
from tests.app.server.attackers import BODY, HEAD, connect, cuts, many
from tests.servers import Gunicorn, LiveGunicorn

DOCUMENT = Path(__file__).parents[3] / "docs/bounds.md"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


class Nginx(Server):
    """nginx with the documented configuration, in front of a service."""

    def __init__(self, service):
        super().__init__()
        (site,) = re.findall(r"```nginx\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
        site = site.replace("127.0.0.1:8000", f"127.0.0.1:{service.port}")
        site = site.replace("listen 80;", f"listen 127.0.0.1:{self.port};")
        paths = "".join(
            f"{name}_temp_path {self.folder}/{name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        self.config = self.folder / "nginx.conf"
        self.config.write_text(
            f"daemon off;\nworker_processes 1;\npid {self.folder}/nginx.pid;\n"
            f"error_log stderr;\nevents {{ worker_connections 1024; }}\n"
            f"http {{\naccess_log off;\n{paths}{site}}}\n"
        )

    def command(self):
        return [str(NGINX), "-c", str(self.config), "-p", str(self.folder), "-e", "stderr"]

    def is_ready(self):
        try:
            with connect(self):
                return True
        except OSError:
            return False


@pytest.mark.parametrize("kind", [Gunicorn, LiveGunicorn], ids=["wsgi", "asgi"])
def test_the_service_is_reached_through_the_proxy_and_half_requests_are_not_passed_on(
    kind, sqlite_database
):
    with (
        kind(DATABASE_URL=sqlite_database, TRUSTED_PROXIES="1") as service,
        Nginx(service) as proxy,
    ):
        assert "buffering proxy" not in service.log.read_text()
        through = type("Proxied", (), {"port": proxy.port, "request": kind.request})()
        body = b'{"title": "Emma", "author": "Jane Austen"}'
        with many(proxy, 40, HEAD), many(proxy, 40, BODY):
            assert through.request("POST", "/books", body)[0] == 201
            assert through.request("GET", "/books")[0] == 200
        assert through.request("GET", "/metrics")[0] == 403
        assert not any(cuts(service).values())
        if kind is LiveGunicorn:
            check_live(through, service)


def check_live(through, service):
    query = "subscription { reviewAdded { review { text } } }"
    through.cursor = service.cursor
    with WebSocketClient(through) as client, EventStreamClient(through, query) as stream:
        client.init().subscribe()
        status, _, body = through.request("POST", "/books/1/reviews", REVIEW)
        assert status == 201, body
        assert client.texts(1) == ["Read in one night."]
        assert stream.next()[1]["data"]["reviewAdded"]["review"]["text"] == "Read in one night."


REVIEW = b'{"rating": 4, "reviewer": "Ana", "text": "Read in one night."}'


def test_the_configuration_is_valid(tmp_path):
    service = type("Service", (), {"port": 8000})()
    proxy = Nginx(service)
    try:
        command = [*proxy.command(), "-t"]
        assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    finally:
        proxy.close()
