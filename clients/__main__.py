"""`make clients`, or `python -m clients`: the reference clients against the service."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import click

from clients.shop import Shop, database, new_key

HERE = Path(__file__).parent
NEEDED = "make clients needs node 20 or newer and npm on the PATH; they are not here."
INSTALL = ("npm", "ci", "--no-audit", "--no-fund", "--loglevel", "error")
# One file after the other: each takes the service away.
FILES = ("reference/ws.test.js", "reference/sse.test.js")
TEST = ("node", "--test", "--test-reporter", "spec", "--test-concurrency", "1", *FILES)


def main() -> int:
    """Install the clients by their lock file, run their tests, and return the exit code."""
    if not (shutil.which("node") and shutil.which("npm")):
        click.echo(NEEDED, err=True)
        return 1
    installed = subprocess.run(INSTALL, cwd=HERE, check=False)
    if installed.returncode:
        return installed.returncode
    settings = {"REQUIRE_API_KEY": "true"}
    with database() as url, Shop(url, **settings) as other, Shop(url, **settings) as shop:
        key = new_key(url, "books:write", "reviews:write")
        book = other.post("/books", {"title": "Emma", "author": "Jane Austen"}, key)["id"]
        driver = Driver({"stop": shop.stop, "crash": shop.crash, "start": shop.start})
        known = {"SHOP": shop.address, "OTHER": other.address, "DRIVER": driver.address}
        told = {**os.environ, **known, "KEY": key, "BOOK": str(book)}
        return subprocess.run(TEST, cwd=HERE, env=told, check=False).returncode


class Driver:
    """Takes the service away and brings it back when a test asks for it, by POST."""

    def __init__(self, deeds: Mapping[str, Callable[[], None]]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                """Do what the path names."""
                deeds[self.path.removeprefix("/")]()
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
