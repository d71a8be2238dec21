"""One execution of an event for all who asked for the same: the same query, the same variables."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from itertools import count
from typing import Any

import orjson
from graphql import Executor, execute_subscription_event
from strawberry.types import ExecutionResult

from app.errors import ApiError
from app.events.log import Event
from app.live.subscription_query import Asked

REMEMBERED_BYTES = 16_777_216
"""Of results: so those who come for one a moment later, or resume after a restart, share it too."""
GROUPS_OF_A_TOPIC = 200
GROUPS_OF_A_CLIENT = 20
"""Of one topic: so that nobody uses up the others' share of different queries."""
Root = Callable[[str, Event], Any]
"""Makes what an event of the log of this name is executed on."""


class TooManyQueries(ApiError):  # noqa: N818 - named as its kin
    """So many different queries follow one topic that an event would cost too much."""

    status = HTTPStatus.TOO_MANY_REQUESTS


class Memory:
    """The results used last, of all groups of a process."""

    def __init__(self) -> None:
        self._results: OrderedDict[Any, tuple[ExecutionResult, int]] = OrderedDict()
        self._bytes = 0

    def get(self, key: Any) -> ExecutionResult | None:
        """Return the result of ``key`` if it is there."""
        found = self._results.get(key)
        if found is None:
            return None
        self._results.move_to_end(key)
        return found[0]

    def put(self, key: Any, result: ExecutionResult, size: int) -> None:
        """Keep a result of ``size`` bytes, in place of those that were not used for the longest."""
        self._results[key] = result, size
        self._bytes += size
        while self._bytes > REMEMBERED_BYTES:
            _, (_, gone) = self._results.popitem(last=False)
            self._bytes -= gone


class Group:
    """Everybody whose results are the same."""

    numbers = count()

    def __init__(self, executor: Executor[Any], root: Root, memory: Memory, beginner: str) -> None:
        self.beginner = beginner
        """The client who was the first to ask for this."""
        self._executor = executor
        self._root = root
        self._memory = memory
        self._number = next(self.numbers)
        self.members = 0

    def result(self, log: str, event: Event) -> ExecutionResult:
        """Return what ``event`` of this log looks like for the group."""
        key = self._number, log, event.position
        return self._memory.get(key) or self._execute(key, self._root(log, event))

    def _execute(self, key: Any, root: Any) -> ExecutionResult:
        # Nothing is waited for: the root holds all that can be asked.
        done: Any = execute_subscription_event(self._executor.build_per_event_executor(root))
        # Encoded once for all; orjson takes it over as it is.
        encoded = orjson.dumps(done.data)
        result = ExecutionResult(orjson.Fragment(encoded), done.errors)  # type: ignore[arg-type]
        self._memory.put(key, result, len(encoded))
        return result


class Groups:
    """The groups of one process, by what they follow."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._memory = Memory()
        self._of_topic: dict[str | None, dict[bytes, Group]] = {}

    def know(self, topic: str | None) -> bool:
        """Tell whether somebody follows ``topic`` already."""
        return topic in self._of_topic

    @contextmanager
    def join(self, topic: str | None, asked: Asked, client: str) -> Iterator[Group]:
        """Be a member of the group that asks for the same; raise TooManyQueries."""
        groups, key = self._of_topic.setdefault(topic, {}), asked.key
        group = groups.get(key) or self._new(groups, asked, client)
        group.members += 1
        try:
            yield group
        finally:
            group.members -= 1
            if not group.members:
                del groups[key]
            if not groups:
                del self._of_topic[topic]

    def _new(self, groups: dict[bytes, Group], asked: Asked, client: str) -> Group:
        begun = sum(group.beginner == client for group in groups.values())
        if len(groups) >= GROUPS_OF_A_TOPIC or begun >= GROUPS_OF_A_CLIENT:
            raise TooManyQueries("Too many different queries follow this; send a common one.")
        group = groups[asked.key] = Group(asked.executor(), self._root, self._memory, client)
        return group
