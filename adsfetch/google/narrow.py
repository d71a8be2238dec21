"""Messages of the API that hold only the fields that were asked for."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

adding = threading.Lock()  # a pool takes each file once


class Tree(dict[str, "Tree"]):
    """Fields by their names, each with the fields in it that are asked for; empty means all."""


def narrowed(message: Any, paths: Iterable[str]) -> Any:
    """Return a class that reads a message's bytes, and of these only what stands at ``paths``.

    The API's messages make room for every field of each part that occurs, 7 KB for a row of
    125 bytes; that takes several times as long as to read the few that were selected.
    """
    tree, pool = as_tree(paths), message.file.pool
    package = f"adsfetch.s{hashlib.sha256(f'{message.full_name} {tree}'.encode()).hexdigest()}"
    name = f"{package}.{message.name}"
    with adding:
        try:
            shape = pool.FindMessageTypeByName(name)
        except KeyError:
            pool.AddSerializedFile(described(package, message, tree).SerializeToString())
            shape = pool.FindMessageTypeByName(name)
    return message_factory.GetMessageClass(shape)


def described(package: str, message: Any, tree: Tree) -> FileDescriptorProto:
    """Return a file with one message, which has the fields of a tree and keeps their numbers."""
    # In proto2 each field knows whether it is there, as the API's optional ones do.
    file = FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto2")
    shape = file.message_type.add(name=message.name)
    whole = fill(shape, f".{package}.{message.name}", message, tree)
    file.dependency.extend(sorted(set(whole)))
    return file


def as_tree(paths: Iterable[str]) -> Tree:
    """Return paths by their parts; what lies inside another one is there with it."""
    known, tree = set(paths), Tree()
    for path in sorted(known):
        if not any(path.startswith(f"{other}.") for other in known):
            branch = tree
            for part in path.split("."):
                branch = branch.setdefault(part, Tree())
    return tree


def fill(shape: DescriptorProto, scope: str, message: Any, tree: Tree) -> Iterator[str]:
    """Give a message the fields of a tree, and yield the files of those it takes whole."""
    for name, branch in tree.items():
        known = message.fields_by_name[name]
        field = shape.field.add(name=name, number=known.number, type=known.type)
        field.label = field.LABEL_REPEATED if known.is_repeated else field.LABEL_OPTIONAL
        if branch:
            part = shape.nested_type.add(name=f"{name}Part")
            field.type_name = f"{scope}.{part.name}"
            yield from fill(part, field.type_name, known.message_type, branch)
        elif known.message_type is not None:
            field.type_name = f".{known.message_type.full_name}"
            yield known.message_type.file.name
        elif known.enum_type is not None:
            field.type = field.TYPE_INT32  # the same bytes; a number needs no names of its own
