"""`make clients`, or `python -m clients`: reference and generated clients against the service."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import click

from clients.service import Bookstall, database, new_key

HERE = Path(__file__).parent
MISSING = "make clients needs node 20 or newer and npm on the PATH."
INSTALL = ("npm", "ci", "--no-audit", "--no-fund", "--loglevel", "error")
TYPES = ("npx", "openapi-typescript", "--output", "typescript/schema.d.ts")
"""Generates types from the OpenAPI document at the URL that follows, with the default options."""
COMPILE = ("npx", "tsc", "--project", "typescript")
# One file at a time: those of the references stop the service.
FILES = ("typescript/build/calls.test.js", "reference/ws.test.js", "reference/sse.test.js")
TEST = ("node", "--test", "--test-reporter", "spec", "--test-concurrency", "1", *FILES)


def main() -> int:
    """Install the clients from their lock file, run their tests, and return the exit code."""
    if not (shutil.which("node") and shutil.which("npm")):
        click.echo(MISSING, err=True)
        return 1
    if failed := run(INSTALL, os.environ):
        return failed
    settings = {"REQUIRE_API_KEY": "true"}
    with (
        database() as url,
        Bookstall(url, **settings) as other,
        Bookstall(url, **settings) as service,
    ):
        generate = (*TYPES, f"{service.address}/openapi.json")
        if failed := run(generate, os.environ) or run(COMPILE, os.environ):
            return failed
        key = new_key(url, "books:write", "reviews:write", "products:write")
        book = other.post("/books", {"title": "Emma", "author": "Jane Austen"}, key)["id"]
        actions = {"stop": service.stop, "crash": service.crash, "start": service.start}
        controller = Controller(actions)
        urls = {
            "SERVICE": service.address,
            "OTHER": other.address,
            "CONTROLLER": controller.address,
        }
        variables = {**os.environ, **urls, "KEY": key, "BOOK": str(book)}
        return run(TEST, variables)


def run(command: Sequence[str], variables: Mapping[str, str]) -> int:
    """Run a command in the folder of the clients, and return its exit code."""
    return subprocess.run(command, cwd=HERE, env=variables, check=False).returncode


class Controller:
    """An HTTP server through which the tests stop and start the service."""

    def __init__(self, actions: Mapping[str, Callable[[], None]]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                """Run the action in the path."""
                actions[self.path.removeprefix("/")]()
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
