"""How attributes are replaced in a process under test."""

from types import SimpleNamespace

import pytest

from stress.attributes import replace


def test_an_attribute_is_replaced():
    owner = SimpleNamespace(name=1)
    replace(owner, "name", 2)
    assert owner.name == 2


def test_a_name_that_does_not_exist_cannot_be_replaced():
    owner = SimpleNamespace()
    with pytest.raises(AttributeError, match="name"):
        replace(owner, "name", 2)
    assert not vars(owner)
