"""How much one GraphQL request may ask for: checked before a document is validated.

Validation visits what is written, which this bounds, and compares fields of one name pair by
pair, each pair with all below it: that has a bound of its own, counted while it is done.
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
    ValidationContext,
    specified_rules,
)
from graphql.validation import ASTValidationRule, OverlappingFieldsCanBeMergedRule
from graphql.validation.validate import ValidationAbortedError

from app.graphql.errors import UNAUTHENTICATED, VALIDATION_FAILED, Refused, refusal

LENGTH_MAX = 10_000
"""Characters of a document."""
TOKENS_MAX = 1_000
COMMENTS_MAX = 100
DEFINITIONS_MAX = 50
"""Operations and fragments."""
SELECTIONS_MAX = 300
"""Fields and spreads of all operations, with each fragment counted wherever it is spread."""
COMPARISONS_MAX = 5_000
"""In the units of graphql-core, which takes two for a pair of fields."""
DEPTH_MAX = 10
ALIASES_MAX = 10
"""Each is the same answer once more."""
ROOT_FIELDS_MAX = 10
WRITES_MAX = 1
"""Of two, one could fail and take the answer of the other with it, and it was written."""
NODES_MAX = 1_000
"""Things in all lists of an answer, as many as are asked for."""
ANYWHERE = -TOKENS_MAX
"""A depth from which none is too deep."""
CHARACTERS_MAX = 4_000_000
"""Characters of all texts of an answer."""
INTROSPECTION = frozenset({"__schema", "__type"})
TOO_ALIKE = "Too many fields of one name have to be compared: ask for each once."

T = TypeVar("T")
Fragments = dict[str, FragmentDefinitionNode]


@dataclass
class Measure:
    """What a document asks for, and of it the operation that is taken."""

    fragments: Fragments
    introspects: bool
    selections: int = 0
    aliases: int = 0
    root_fields: int = 0
    open: set[str] = field(default_factory=set)
    met: set[str] = field(default_factory=set)

    def take_operation(self, operation: OperationDefinitionNode) -> None:
        """Count an operation; raise Refused beyond the bounds."""
        self.aliases = self.root_fields = 0
        self.take(operation.selection_set, 1)
        writes = operation.operation is OperationType.MUTATION
        if writes and self.root_fields > WRITES_MAX:
            raise _beyond(operation, "A mutation writes one thing.")

    def take(self, selections: SelectionSetNode | None, depth: int) -> None:
        """Count ``selections`` and all below them; raise Refused beyond the bounds."""
        for node in selections.selections if selections else ():
            self._within(node, "selections", SELECTIONS_MAX)
            if isinstance(node, FieldNode):
                self._take_field(node, depth)
            else:
                self._take_fragment(node, depth)

    def _take_field(self, node: FieldNode, depth: int) -> None:
        if node.alias is not None:
            self._within(node, "aliases", ALIASES_MAX)
        if depth == 1 and node.name.value != "__typename":
            self._within(node, "root_fields", ROOT_FIELDS_MAX)
        if depth > DEPTH_MAX:
            raise _beyond(node, f"Fields are nested {DEPTH_MAX} deep at most.")
        # What introspection asks has a rule of its own for its depth.
        about_schema = node.name.value in INTROSPECTION
        if about_schema and not self.introspects:
            words = "Only who has an API key may ask for the schema."
            raise Refused(refusal(words, UNAUTHENTICATED, GraphQLError("", node)))
        self.take(node.selection_set, ANYWHERE if about_schema else depth + 1)

    def _take_fragment(self, node: SelectionNode, depth: int) -> None:
        if isinstance(node, InlineFragmentNode):
            self.take(node.selection_set, depth)
        elif isinstance(node, FragmentSpreadNode):
            name = node.name.value
            fragment = self.fragments.get(name)
            if fragment is not None and name not in self.open:  # else validation will say it
                self.open.add(name)
                self.met.add(name)
                self.take(fragment.selection_set, depth)
                self.open.discard(name)

    def _within(self, node: SelectionNode, name: str, most: int) -> None:
        setattr(self, name, getattr(self, name) + 1)
        if getattr(self, name) > most:
            raise _beyond(node, f"A request has at most {most} {name.replace('_', ' ')}.")


def check_bounds(document: DocumentNode, *, introspects: bool) -> None:
    """Raise Refused for a document that is beyond the bounds."""
    if len(document.definitions) > DEFINITIONS_MAX:
        words = f"A document has at most {DEFINITIONS_MAX} operations and fragments."
        raise _beyond(document.definitions[DEFINITIONS_MAX], words)
    fragments = {node.name.value: node for node in _of(document, FragmentDefinitionNode)}
    measure = Measure(fragments, introspects)
    for operation in _of(document, OperationDefinitionNode):
        measure.take_operation(operation)
    for fragment in _of(document, FragmentDefinitionNode):
        # Also one that nobody spreads is validated, and each of several of one name.
        if fragment.name.value not in measure.met or fragments[fragment.name.value] is not fragment:
            measure.take(fragment.selection_set, ANYWHERE)


class Comparisons(OverlappingFieldsCanBeMergedRule):
    """The library's rule with a bound of ours: its own allows seconds."""

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self.rule_context.remaining_complexity_budget = COMPARISONS_MAX

    def enter_selection_set(self, *args: Any) -> None:
        """Compare the fields of a selection."""
        try:
            super().enter_selection_set(*args)
        except ValidationAbortedError:
            if self.rule_context.remaining_complexity_budget >= 0:
                raise  # of too many errors
            raise ValidationAbortedError(TOO_ALIKE) from None


RULES: tuple[type[ASTValidationRule], ...] = tuple(
    Comparisons if rule is OverlappingFieldsCanBeMergedRule else rule for rule in specified_rules
)


def characters(data: Any) -> int:
    """Count the characters of all texts of an answer. One text of ours may stand in it often."""
    total, waiting = 0, [data]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            total += len(part)
        elif isinstance(part, dict):
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
    return total


def _of(document: DocumentNode, kind: type[T]) -> Iterator[T]:
    return (node for node in document.definitions if isinstance(node, kind))


def _beyond(node: Node, words: str) -> Refused:
    return Refused(refusal(words, VALIDATION_FAILED, GraphQLError("", node)))
