"""API keys made with the command, headers that carry them, and a clock for them."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask

from app.auth import api_keys
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


def set_clock(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let all processes have their copies of the keys for so many seconds more."""
    clock = SimpleNamespace(time=time.time, monotonic=lambda: time.monotonic() + seconds)
    patch.setattr(api_keys, "time", clock)
