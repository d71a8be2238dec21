"""Everything that we use of graphql-core beyond its documentation."""

from collections.abc import Mapping
from typing import Any, cast

from graphql import (
    DocumentNode,
    ExecutionResult,
    Executor,
    FieldNode,
    GraphQLField,
    GraphQLSchema,
    ValidationContext,
    execute_subscription_event,
    get_argument_values,
)
from graphql.validation import OverlappingFieldsCanBeMergedRule
from graphql.validation.validate import ValidationAbortedError

from app.graphql.errors import RequestError, with_code

PRIVATE_NAMES = (
    "graphql:Executor.build",
    "graphql:Executor.build_per_event_executor",
    "graphql:Executor.variable_values",
    "graphql:execute_subscription_event",
    "graphql.execution.values:VariableValues.coerced",
    "graphql.validation.validate:ValidationAbortedError",
    "graphql.validation:OverlappingFieldsCanBeMergedRule.rule_context",
    "graphql.validation:OverlappingFieldsCanBeMergedRule.enter_selection_set",
    "graphql.validation.rules.overlapping_fields_can_be_merged"
    ":RuleContext.remaining_complexity_budget",
)
MAX_COMPARISONS = 5_000
"""In the units of graphql-core, which counts two for each pair of fields."""
TOO_MANY_COMPARISONS = "Too many fields with the same name must be compared: select each only once."


class BoundedOverlapRule(OverlappingFieldsCanBeMergedRule):
    """The rule of graphql-core with a smaller budget: with its own, a document costs seconds."""

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self.rule_context.remaining_complexity_budget = MAX_COMPARISONS

    def enter_selection_set(self, *args: Any) -> None:
        try:
            super().enter_selection_set(*args)
        except ValidationAbortedError:
            if self.rule_context.remaining_complexity_budget >= 0:
                raise  # for another reason: too many errors
            raise ValidationAbortedError(TOO_MANY_COMPARISONS) from None


class EventExecutor:
    """Executes one subscription, with the values of its variables, for each event."""

    def __init__(
        self, schema: GraphQLSchema, document: DocumentNode, variables: Mapping[str, Any]
    ) -> None:
        """Coerce the variables; raise RequestError for invalid ones."""
        built = Executor.build(schema, document, raw_variable_values=dict(variables))
        if isinstance(built, list):
            raise RequestError(*(with_code(error, "") for error in built))
        self._executor: Executor[Any] = built

    @property
    def variables(self) -> Mapping[str, Any]:
        """The coerced values of the variables."""
        return self._executor.variable_values.coerced

    def arguments(self, definition: GraphQLField, node: FieldNode) -> Mapping[str, Any]:
        """Return the coerced arguments of a field."""
        return get_argument_values(definition, node, self._executor.variable_values)

    def execute(self, root: Any) -> ExecutionResult:
        """Execute the subscription for the event ``root``, whose resolvers are synchronous."""
        executor = self._executor.build_per_event_executor(root)
        return cast(ExecutionResult, execute_subscription_event(executor))
