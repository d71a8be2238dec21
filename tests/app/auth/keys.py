"""API keys made with the command, and headers that carry them."""

import time
from typing import Any

from flask import Flask

from app.auth.api_keys import MISS_CACHE_SECONDS

BOOK = {"title": "Emma", "author": "Jane Austen"}


def run_keys(app: Flask, *arguments: str) -> Any:
    return app.test_cli_runner().invoke(args=["keys", *arguments])


def make_key(app: Flask, *scopes: str) -> str:
    options = [word for name in scopes for word in ("--scope", name)]
    result = run_keys(app, "create", "a test", *options)
    assert result.exit_code == 0, result.output
    time.sleep(MISS_CACHE_SECONDS)
    return str(result.stdout.strip())


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
