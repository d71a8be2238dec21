"""A WSGI application that returns the same bodies from memory: the maximum of gunicorn itself."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

BODIES = {path.name: path.read_bytes() for path in Path(os.environ["BODIES"]).iterdir()}


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Return the body that the end of the path names, or that of the product for an id."""
    last = environ["PATH_INFO"].rpartition("/")[2]
    body = BODIES.get("product" if last.isdigit() else last, b"{}")
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]
