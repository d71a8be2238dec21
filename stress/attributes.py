"""Replace attributes of the product in a process under test; the product has no switches for it."""

from typing import Any


def replace(owner: Any, name: str, value: object) -> None:
    """Replace an attribute of a module or class; raise AttributeError if it does not exist."""
    getattr(owner, name)
    setattr(owner, name, value)
