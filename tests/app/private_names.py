"""Check the private names that adapter modules use against the installed libraries."""

from importlib import import_module
from importlib.metadata import version
from inspect import isclass, isfunction
from types import ModuleType
from typing import Any


def check(name: str, adapter: ModuleType, distribution: str) -> None:
    """Fail unless the installed ``distribution`` has ``name``, a "module:Class.attribute"."""
    message = f"{distribution} {version(distribution)} no longer has {name}: see {adapter.__name__}"
    module, _, path = name.partition(":")
    owner: Any = import_module(module)
    *parents, attribute = path.split(".")
    for parent in parents:
        assert hasattr(owner, parent), message
        owner = getattr(owner, parent)
    assert hasattr(owner, attribute) or attribute in _names_in_methods(owner), message


def _names_in_methods(owner: Any) -> set[str]:
    """Return the attributes that the methods of a class use: instances have no other trace."""
    classes = owner.__mro__ if isclass(owner) else ()
    methods = [value for each in classes for value in vars(each).values() if isfunction(value)]
    return {name for method in methods for name in method.__code__.co_names}
