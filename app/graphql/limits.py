"""Limits of a GraphQL document, checked before its validation.

The time of validation depends on the size of the document, which is limited here, and on
comparisons of fields with the same name, which BoundedOverlapRule limits during validation.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    Node,
    OperationDefinitionNode,
    OperationType,
    SelectionNode,
    SelectionSetNode,
    specified_rules,
)
from graphql.validation import ASTValidationRule, OverlappingFieldsCanBeMergedRule

from app.graphql.core_adapter import BoundedOverlapRule
from app.graphql.errors import UNAUTHENTICATED, VALIDATION_FAILED, RequestError, request_error

MAX_LENGTH = 10_000
"""Characters of a document."""
MAX_TOKENS = 1_000
MAX_COMMENTS = 100
MAX_DEFINITIONS = 50
"""Operations and fragments."""
MAX_SELECTIONS = 300
"""Fields and spreads of all operations; a fragment counts each time it is spread."""
MAX_DEPTH = 10
MAX_ALIASES = 10
"""Each one repeats a part of the response."""
MAX_ROOT_FIELDS = 10
MAX_WRITES = 1
"""If one of two failed, the response of the other, which has committed, could be lost."""
MAX_NODES = 1_000
"""Requested items in all lists of a response."""
UNLIMITED_DEPTH = -MAX_TOKENS
"""A starting depth from which no document exceeds MAX_DEPTH."""
MAX_CHARACTERS = 4_000_000
"""Characters of all strings in a response."""
INTROSPECTION = frozenset({"__schema", "__type"})

T = TypeVar("T")
Fragments = dict[str, FragmentDefinitionNode]


@dataclass
class ComplexityCounter:
    """Counts what a document requests."""

    fragments: Fragments
    may_introspect: bool
    selections: int = 0
    aliases: int = 0
    root_fields: int = 0
    entered: set[str] = field(default_factory=set)
    """Fragments that contain the current selection."""
    visited: set[str] = field(default_factory=set)

    def count_operation(self, operation: OperationDefinitionNode) -> None:
        """Count an operation; raise RequestError beyond the limits."""
        self.aliases = self.root_fields = 0
        self.count_selections(operation.selection_set, 1)
        writes = operation.operation is OperationType.MUTATION
        if writes and self.root_fields > MAX_WRITES:
            raise _too_complex(operation, "A mutation can have only one field.")

    def count_selections(self, selections: SelectionSetNode | None, depth: int) -> None:
        """Count ``selections`` and everything below; raise RequestError beyond the limits."""
        for node in selections.selections if selections else ():
            self._increment(node, "selections", MAX_SELECTIONS)
            if isinstance(node, FieldNode):
                self._count_field(node, depth)
            else:
                self._count_fragment(node, depth)

    def _count_field(self, node: FieldNode, depth: int) -> None:
        if node.alias is not None:
            self._increment(node, "aliases", MAX_ALIASES)
        if depth == 1 and node.name.value != "__typename":
            self._increment(node, "root_fields", MAX_ROOT_FIELDS)
        if depth > MAX_DEPTH:
            raise _too_complex(node, f"Fields can be nested at most {MAX_DEPTH} deep.")
        # graphql-core limits the depth of introspection by a rule of its own.
        about_schema = node.name.value in INTROSPECTION
        if about_schema and not self.may_introspect:
            detail = "Introspection requires an API key."
            raise RequestError(request_error(detail, UNAUTHENTICATED, GraphQLError("", node)))
        self.count_selections(node.selection_set, UNLIMITED_DEPTH if about_schema else depth + 1)

    def _count_fragment(self, node: SelectionNode, depth: int) -> None:
        if isinstance(node, InlineFragmentNode):
            self.count_selections(node.selection_set, depth)
        elif isinstance(node, FragmentSpreadNode):
            name = node.name.value
            fragment = self.fragments.get(name)
            if fragment is not None and name not in self.entered:  # else validation reports it
                self.entered.add(name)
                self.visited.add(name)
                self.count_selections(fragment.selection_set, depth)
                self.entered.discard(name)

    def _increment(self, node: SelectionNode, name: str, maximum: int) -> None:
        setattr(self, name, getattr(self, name) + 1)
        if getattr(self, name) > maximum:
            what = name.replace("_", " ")
            raise _too_complex(node, f"A request can have at most {maximum} {what}.")


def check_limits(document: DocumentNode, *, may_introspect: bool) -> None:
    """Raise RequestError for a document beyond the limits."""
    if len(document.definitions) > MAX_DEFINITIONS:
        detail = f"A document can have at most {MAX_DEFINITIONS} operations and fragments."
        raise _too_complex(document.definitions[MAX_DEFINITIONS], detail)
    fragments = {node.name.value: node for node in _definitions(document, FragmentDefinitionNode)}
    counter = ComplexityCounter(fragments, may_introspect)
    for operation in _definitions(document, OperationDefinitionNode):
        counter.count_operation(operation)
    for fragment in _definitions(document, FragmentDefinitionNode):
        # Validation also visits unused fragments, and each of several with the same name.
        name = fragment.name.value
        if name not in counter.visited or fragments[name] is not fragment:
            counter.count_selections(fragment.selection_set, UNLIMITED_DEPTH)


RULES: tuple[type[ASTValidationRule], ...] = tuple(
    BoundedOverlapRule if rule is OverlappingFieldsCanBeMergedRule else rule
    for rule in specified_rules
)


def count_characters(data: Any) -> int:
    """Count the characters of all strings in ``data``, in which one value may occur many times."""
    total, pending = 0, [data]
    while pending:
        part = pending.pop()
        if isinstance(part, str):
            total += len(part)
        elif isinstance(part, dict):
            pending.extend(part.values())
        elif isinstance(part, list):
            pending.extend(part)
    return total


def _definitions(document: DocumentNode, kind: type[T]) -> Iterator[T]:
    return (node for node in document.definitions if isinstance(node, kind))


def _too_complex(node: Node, detail: str) -> RequestError:
    return RequestError(request_error(detail, VALIDATION_FAILED, GraphQLError("", node)))
