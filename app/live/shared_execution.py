"""Execute a query once per event for all its subscribers with the same variables."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson
from strawberry.types import ExecutionResult

from app.errors import TooManyQueries
from app.events.log import Event
from app.graphql.core_adapter import EventExecutor
from app.live.subscription_query import BoundSubscription

CACHE_MAX_BYTES = 16_777_216
"""Results of recent events, for subscribers that read them a little later or after a reconnect."""
MAX_EXECUTIONS_PER_TOPIC = 200
MAX_EXECUTIONS_PER_CLIENT = 20
"""Of one topic, so that no client can use up the number of different queries alone."""
Result = TypeVar("Result")
RootFactory = Callable[[str, Event], Any]
"""Returns the root value for an event of the named log."""


class ResultCache(Generic[Result]):
    """The most recently used results for events, at most CACHE_MAX_BYTES of them."""

    def __init__(self) -> None:
        self._results: OrderedDict[Any, tuple[Result, int]] = OrderedDict()
        self._bytes = 0

    def get(self, key: Any) -> Result | None:
        found = self._results.get(key)
        if found is None:
            return None
        self._results.move_to_end(key)
        return found[0]

    def put(self, key: Any, result: Result, size: int) -> None:
        """Store a result of ``size`` bytes, and evict the least recently used ones."""
        self._results[key] = result, size
        self._bytes += size
        while self._bytes > CACHE_MAX_BYTES:
            _, (_, evicted) = self._results.popitem(last=False)
            self._bytes -= evicted


@dataclass
class SharedExecution:
    """All subscriptions whose results are equal."""

    number: int
    executor: EventExecutor
    root: RootFactory
    cache: ResultCache[ExecutionResult]
    creator: str
    """The client that subscribed first."""
    members: int = 0

    def result(self, log: str, event: Event) -> ExecutionResult:
        """Return the result for ``event`` of this log."""
        key = self.number, log, event.position
        cached = self.cache.get(key)
        if cached is not None:
            return cached
        # This runs in the event loop and does not block: the root holds all data.
        executed = self.executor.execute(self.root(log, event))
        # Encoded once for all subscribers; orjson copies a Fragment unchanged.
        encoded = orjson.dumps(executed.data)
        data: Any = orjson.Fragment(encoded)
        result = ExecutionResult(data, executed.errors)
        self.cache.put(key, result, len(encoded))
        return result


class SharedExecutions:
    """The shared executions of one subscription field in a process, by topic."""

    def __init__(self, root: RootFactory) -> None:
        self._root = root
        self._cache = ResultCache[ExecutionResult]()
        self._created = 0
        self._by_topic: dict[str | None, dict[bytes, SharedExecution]] = {}

    def has_topic(self, topic: str | None) -> bool:
        return topic in self._by_topic

    @contextmanager
    def join(
        self, topic: str | None, subscription: BoundSubscription, client: str
    ) -> Iterator[SharedExecution]:
        """Share the execution of equal subscriptions while the block runs; raise TooManyQueries."""
        executions, key = self._by_topic.setdefault(topic, {}), subscription.key
        execution = executions.get(key) or self._create(executions, subscription, client)
        execution.members += 1
        try:
            yield execution
        finally:
            execution.members -= 1
            if not execution.members:
                del executions[key]
            if not executions:
                del self._by_topic[topic]

    def _create(
        self, executions: dict[bytes, SharedExecution], subscription: BoundSubscription, client: str
    ) -> SharedExecution:
        created = sum(execution.creator == client for execution in executions.values())
        if len(executions) >= MAX_EXECUTIONS_PER_TOPIC or created >= MAX_EXECUTIONS_PER_CLIENT:
            raise TooManyQueries("Too many different queries subscribe to this; send a common one.")
        self._created += 1
        execution = executions[subscription.key] = SharedExecution(
            self._created, subscription.create_executor(), self._root, self._cache, client
        )
        return execution
