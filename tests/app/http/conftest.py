from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def assert_problem() -> Callable[..., None]:
    """A function that checks that a response is a problem document of that status."""

    def check(response: Any, status: int) -> None:
        assert response.status_code == status, response.data
        assert response.mimetype == "application/problem+json"
        assert response.json["status"] == status
        assert response.json["request_id"] == response.headers["X-Request-ID"]
        assert "Traceback" not in response.text
        assert "<class" not in response.text

    return check
