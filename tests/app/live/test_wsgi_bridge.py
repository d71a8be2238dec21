"""The adapter to a2wsgi has what it uses of it."""

import pytest

from app.live import wsgi_bridge
from tests.app.private_names import check


@pytest.mark.parametrize("name", wsgi_bridge.PRIVATE_NAMES)
def test_a2wsgi_has_the_private_name(name):
    check(name, wsgi_bridge, "a2wsgi")
