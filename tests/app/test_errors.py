import re
from importlib import import_module

from app import errors

import_module("app.factory")  # imports every module that could define an error


def subclasses(kind):
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def test_the_docstring_shows_every_error_with_its_status():
    tree = re.findall(r"^[│ ]*[├└]── (\w+) +(\d+)", errors.__doc__, re.MULTILINE)
    assert sorted(tree) == sorted(
        (kind.__name__, str(kind.status.value))
        for kind in subclasses(errors.ApiError)
        if kind.__module__ == errors.__name__
    )


def test_an_error_is_defined_in_one_module_or_beside_the_only_code_that_raises_it():
    modules = {kind.__module__ for kind in subclasses(errors.ApiError)}
    assert modules == {"app.errors", "app.db.snapshots", "inventory.bulk"}
