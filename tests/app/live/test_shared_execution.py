"""Shared executions: which subscriptions are equal, and what they share."""

import json
from contextlib import ExitStack

import orjson
import pytest

from app.errors import TooManyQueries
from app.events.log import Event
from app.factory import schema
from app.graphql.errors import RequestError
from app.graphql.execution import prepare
from app.live import shared_execution
from app.live.shared_execution import (
    MAX_EXECUTIONS_PER_CLIENT,
    MAX_EXECUTIONS_PER_TOPIC,
    SharedExecutions,
)
from app.live.subscription_query import ParsedSubscription
from bookreview.graphql_schema import review_event

PAYLOAD = {
    "id": 3,
    "book_id": 7,
    "rating": 4,
    "reviewer": "Ana",
    "text": "Good.",
    "created_at": "2026-01-01T00:00:00Z",
}
LOG = "0123456789abcdef"
ANA = "key 5f0c3a9be1d2"


def event(position=1):
    data = json.dumps(PAYLOAD).encode()
    return Event(position, "review.created", "book:7:reviews", PAYLOAD["created_at"], data)


def read(query, name=None, /, **variables):
    return ParsedSubscription(schema, prepare(schema, query, name, may_introspect=True)).bind(
        variables
    )


def create():
    made = []

    def root(log, event):
        made.append(event.position)
        return review_event(log, event)

    return SharedExecutions(root), made


def execute(subscription, position=None):
    """Return the result of an event for this subscription."""
    with create()[0].join(None, subscription, ANA) as execution:
        result = execution.result(LOG, position or event())
        assert not result.errors
        return orjson.loads(orjson.dumps(result.data))


SAME = [
    ("subscription { reviewAdded { cursor } }", {}),
    ('subscription { reviewAdded(after: "a") { cursor } }', {}),
    ("subscription($after: String) { reviewAdded(after: $after) { cursor } }", {}),
    ("subscription($after: String) { reviewAdded(after: $after) { cursor } }", {"after": "b"}),
    ("subscription($after: String) { reviewAdded(after: $after) { cursor } }", {"after": None}),
    ("subscription($p: String!) { reviewAdded(after: $p) { cursor } }", {"p": "c"}),
    ('subscription($p: String = "d") { reviewAdded(after: $p) { cursor } }', {}),
    ("subscription { reviewAdded { cursor } } # comment", {"not": "declared"}),
]


@pytest.mark.parametrize(("query", "variables"), SAME)
def test_the_cursor_does_not_change_the_key(query, variables):
    assert read(query, **variables).key == read(SAME[0][0]).key


@pytest.mark.parametrize(
    ("query", "variables", "place"),
    [
        (*SAME[0], None),
        (*SAME[1], "a"),
        (*SAME[3], "b"),
        (*SAME[5], "c"),
        (*SAME[6], "d"),
    ],
)
def test_the_cursor_is_found_wherever_it_is_given(query, variables, place):
    assert read(query, **variables).arguments.get("after") == place


ANY = """
subscription($id: ID, $more: Boolean = true, $after: String) {
    reviewAdded(bookId: $id, after: $after) { cursor review @include(if: $more) { text } }
}
"""


def test_other_variables_have_another_key():
    asking = [{"id": "7"}, {"id": "8"}, {"id": "7", "more": False}, {}]
    keys = [read(ANY, **variables).key for variables in asking]
    assert len(set(keys)) == 4
    assert read(ANY, id="7", more=True, after="x").key == keys[0]
    assert read(ANY, id=7).key == keys[0]


def test_other_selections_have_another_key():
    queries = [
        "subscription { reviewAdded { cursor } }",
        "subscription { a: reviewAdded { cursor } }",
        "subscription { reviewAdded { c: cursor } }",
        "subscription { reviewAdded(bookId: 7) { cursor } }",
        "subscription { reviewAdded { cursor review { text } } }",
    ]
    assert len({read(query).key for query in queries}) == len(queries)


def test_an_alias_is_kept():
    query = "subscription { news: reviewAdded { place: cursor review { words: text } } }"
    assert execute(read(query)) == {"news": {"place": f"{LOG}-1", "review": {"words": "Good."}}}


def test_the_field_can_be_in_fragments():
    query = """
        subscription($p: String, $id: ID) { ...Outer }
        fragment Outer on Subscription { ... on Subscription { ...Inner } }
        fragment Inner on Subscription { reviewAdded(bookId: $id, after: $p) { ...Words } }
        fragment Words on ReviewEvent { review { ...Text } cursor }
        fragment Text on Review { text bookId }
    """
    subscription = read(query, p="x", id="7")
    assert subscription.arguments == {"bookId": "7", "after": "x"}
    assert subscription.key == read(query, p="y", id="7").key
    assert subscription.key != read(query, p="y", id="8").key
    assert execute(subscription)["reviewAdded"]["review"] == {"text": "Good.", "bookId": "7"}


def test_variables_used_beside_the_cursor_change_the_key():
    both = """
        subscription($x: String!, $b: Boolean!) {
            reviewAdded(after: $x) { cursor @skip(if: $b) review { text } }
        }
    """
    one, other = read(both, x="1", b=True), read(both, x="2", b=False)
    assert one.key != other.key
    assert execute(one) == {"reviewAdded": {"review": {"text": "Good."}}}
    assert execute(other)["reviewAdded"]["cursor"] == f"{LOG}-1"


def test_only_the_named_operation_of_several_is_used():
    many = """
        subscription A($p: String) { reviewAdded(after: $p) { ...F } }
        subscription B { reviewAdded(bookId: "7") { cursor } }
        query C { __typename }
        fragment F on ReviewEvent { cursor }
    """
    assert read(many, "A", p="x").arguments == {"after": "x"}
    assert read(many, "B").arguments == {"bookId": "7"}
    assert read(many, "A").key != read(many, "B").key
    alone = 'subscription B { reviewAdded(bookId: "7") { cursor } }'
    assert read(many, "B").key == read(alone).key


@pytest.mark.parametrize(
    "variables", [{}, {"id": None}, {"id": [1]}, {"id": {}}, {"id": True}], ids=json.dumps
)
def test_invalid_variables_are_rejected(variables):
    with pytest.raises(RequestError):
        read("subscription($id: ID!) { reviewAdded(bookId: $id) { cursor } }", **variables)


def test_an_invalid_cursor_variable_is_rejected_although_it_is_removed():
    with pytest.raises(RequestError):
        read("subscription($p: String) { reviewAdded(after: $p) { cursor } }", p=5)
    with pytest.raises(RequestError):
        read("subscription($p: String!) { reviewAdded(after: $p) { cursor } }")


def test_an_event_is_executed_once_for_equal_subscriptions():
    shared, made = create()
    one, other = read(*SAME[0][:1]), read(SAME[3][0], after="x")
    with shared.join(None, one, ANA) as first, shared.join(None, other, ANA) as second:
        assert first is second
        assert first.result(LOG, event()) is second.result(LOG, event())
        first.result(LOG, event(2))
    assert made == [1, 2]


def test_the_cache_keeps_the_most_recently_used_results_within_its_size(monkeypatch):
    shared, made = create()
    with shared.join(None, read(SAME[0][0]), ANA) as execution:
        size = len(bytes(orjson.dumps(execution.result(LOG, event(1)).data)))
        monkeypatch.setattr(shared_execution, "CACHE_MAX_BYTES", 3 * size)
        for position in (2, 3, 1, 4, 1):
            execution.result(LOG, event(position))
        assert made == [1, 2, 3, 4]
        execution.result(LOG, event(2))
    assert made == [1, 2, 3, 4, 2]


def test_events_of_another_log_are_executed_separately():
    shared, made = create()
    with shared.join(None, read(SAME[0][0]), ANA) as execution:
        mine, other = (execution.result(log, event()) for log in (LOG, LOG[::-1]))
    assert made == [1, 1]
    assert LOG[::-1] in orjson.dumps(other.data).decode()
    assert LOG in orjson.dumps(mine.data).decode()


def test_the_last_member_removes_the_shared_execution():
    shared, _ = create()
    subscription = read(SAME[0][0])
    with shared.join("book:7:reviews", subscription, ANA):
        with shared.join("book:7:reviews", subscription, ANA):
            assert shared.has_topic("book:7:reviews")
        assert shared.has_topic("book:7:reviews")
        assert not shared.has_topic(None)
    assert not shared.has_topic("book:7:reviews")


def different(number):
    return read(f"subscription {{ a{number}: reviewAdded {{ cursor }} }}")


def test_different_queries_of_a_topic_are_limited_and_shared_ones_are_not():
    shared, _ = create()

    with ExitStack() as stack:
        for number in range(MAX_EXECUTIONS_PER_TOPIC):
            stack.enter_context(shared.join(None, different(number), f"address {number}"))
        with pytest.raises(TooManyQueries):
            stack.enter_context(shared.join(None, read(SAME[0][0]), ANA))
        stack.enter_context(shared.join(None, different(0), ANA))
        stack.enter_context(shared.join("book:7:reviews", read(SAME[0][0]), ANA))
    with shared.join(None, read(SAME[0][0]), ANA):
        assert shared.has_topic(None)


def test_one_client_cannot_use_up_the_limit_of_different_queries():
    shared, _ = create()

    with ExitStack() as stack:
        for number in range(MAX_EXECUTIONS_PER_CLIENT):
            stack.enter_context(shared.join(None, different(number), ANA))
        with pytest.raises(TooManyQueries):
            stack.enter_context(shared.join(None, read(SAME[0][0]), ANA))
        stack.enter_context(shared.join(None, read(SAME[0][0]), "address 127.0.0.1"))
        stack.enter_context(shared.join(None, read(SAME[0][0]), ANA))
