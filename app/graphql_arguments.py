"""What a subscription is asked with, for who carries its events and chooses them by that."""

from collections.abc import Iterator, Mapping
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    InlineFragmentNode,
    SelectionSetNode,
    get_argument_values,
    get_variable_values,
)

from app.graphql import Prepared
from app.graphql_errors import BAD_USER_INPUT, VALIDATION_FAILED, Refused, refusal


def arguments_of(
    schema: GraphQLSchema, prepared: Prepared, variables: Mapping[str, Any] | None = None
) -> tuple[str, dict[str, Any]]:
    """Return the name of the operation's first field, and the arguments that it is given.

    A subscription has no other field. Raise Refused for wrong variables.
    """
    operation = prepared.operation
    field = next(_fields(prepared.document, operation.selection_set))
    given = dict(variables or {})
    values = get_variable_values(schema, operation.variable_definitions or (), given)
    if isinstance(values, list):
        raise Refused(*(refusal(error.message, BAD_USER_INPUT, error) for error in values))
    kind = schema.get_root_type(prepared.kind)
    name = field.name.value
    if kind is None or name not in kind.fields:  # __typename
        raise Refused(refusal("Ask for a field of the schema.", VALIDATION_FAILED))
    try:
        return name, get_argument_values(kind.fields[name], field, values)
    except GraphQLError as error:
        raise Refused(refusal(error.message, BAD_USER_INPUT, error)) from None


def _fields(document: DocumentNode, selections: SelectionSetNode) -> Iterator[FieldNode]:
    for node in selections.selections:
        if isinstance(node, FieldNode):
            yield node
        elif isinstance(node, InlineFragmentNode):
            yield from _fields(document, node.selection_set)
        elif isinstance(node, FragmentSpreadNode):
            yield from _fields(document, _fragment(document, node.name.value).selection_set)


def _fragment(document: DocumentNode, name: str) -> FragmentDefinitionNode:
    kind = FragmentDefinitionNode
    found = (node for node in document.definitions if isinstance(node, kind))
    return next(node for node in found if node.name.value == name)
