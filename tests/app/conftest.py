from collections.abc import Callable

import pytest
from flask import Flask

from app.config import Rate

TEN_PER_MINUTE = Rate(10, 60)


@pytest.fixture
def make_limited(make_app: Callable[..., Flask], sqlite_database: str) -> Callable[..., Flask]:
    """A factory of applications in one process, by default with ten reads per minute."""
    defaults = {"rate_limit_read": TEN_PER_MINUTE, "web_concurrency": 1}
    return lambda **settings: make_app(sqlite_database, **{**defaults, **settings})
