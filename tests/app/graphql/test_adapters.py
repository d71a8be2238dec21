"""The installed strawberry and graphql-core have what the adapters use."""

import pytest

from app.graphql import core_adapter, strawberry_adapter
from tests.app.private_names import check


@pytest.mark.parametrize("name", strawberry_adapter.PRIVATE_NAMES)
def test_strawberry_has_the_private_name(name):
    check(name, strawberry_adapter, "strawberry-graphql")


@pytest.mark.parametrize("name", core_adapter.PRIVATE_NAMES)
def test_graphql_core_has_the_private_name(name):
    check(name, core_adapter, "graphql-core")


def test_a_missing_name_fails_with_a_clear_message():
    with pytest.raises(AssertionError, match=r"no longer has graphql:Executor\.nothing"):
        check("graphql:Executor.nothing", core_adapter, "graphql-core")
