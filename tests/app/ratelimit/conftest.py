"""Limits that a busy machine does not change."""

import pytest

from app.ratelimit import window
from tests.waiting import PATIENCE


@pytest.fixture
def late_responses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each response of Redis count, however late it is; windows become longer by as much."""
    monkeypatch.setattr(window, "TIMEOUT_SECONDS", PATIENCE)


@pytest.fixture
def lasting_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let leases last for PATIENCE too, in windows of two hours or more."""
    monkeypatch.setattr(window, "MAX_LEASE_SECONDS", PATIENCE)
