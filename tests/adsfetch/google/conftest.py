"""A row of the API, in the oldest and the newest version."""

from typing import Any

import pytest


@pytest.fixture(params=["v23", "v26"])
def row(request: pytest.FixtureRequest) -> Any:
    client = pytest.importorskip("google.ads.googleads.client")
    return client.GoogleAdsClient(None, version=request.param).get_type("GoogleAdsRow")
