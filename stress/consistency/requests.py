"""What every request of a client is: its message, and how its response is read."""

import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple
from urllib.parse import urlencode

import orjson

from stress.consistency.history import Values
from stress.consistency.lists import ListQuery, Page, read_page
from stress.consistency.records import EXPECTED_STATUSES, Effect, Read, Write
from stress.consistency.timelines import Condition, Fact
from stress.http_client import Response, get

CONTINUE = 0.7
"""The part of pages after which the next one is requested."""
USUAL, RENEW = 6, 0.02
"""Clients request so many variants of a list again and again, and this part is a new one."""


@dataclass
class Resources:
    """What all clients share, and no one else writes to."""

    word: str
    """Part of the names of the products, and the author of the books."""
    moderator: str | None = None
    """An API key that may see hidden reviews."""
    products: list[int] = field(default_factory=list)
    books: list[int] = field(default_factory=list)
    removable_books: list[int] = field(default_factory=list)
    reviews: list[int] = field(default_factory=list)
    """The newest ones; some are deleted by now."""
    holds: list[int] = field(default_factory=list)
    """The newest ones."""
    usual: dict[str, list[Values]] = field(default_factory=dict)
    """The parameters of lists that are requested, by the kind of list."""


class ReadRequest(NamedTuple):
    """A read request, and a function that reads its response."""

    message: bytes
    read: Callable[[Response], Read]


Outcome = tuple[Sequence[Effect], Sequence[Fact]]
"""The effects of a write as its response shows them, and all that the response shows."""


class WriteRequest(NamedTuple):
    """A write request with the effects that it may have, and a function that reads its response."""

    kind: str
    message: bytes
    effects: Sequence[Effect]
    read: Callable[[Response], Outcome]

    def write(self, response: Response | None) -> Write:
        """Return the record of this write."""
        if response is None or response.status not in EXPECTED_STATUSES:
            return Write(self.kind, response, self.effects)
        effects, facts = self.read(response)
        return Write(self.kind, response, effects, facts)


Choices = Mapping[Callable[[], Any], float]
"""Methods that return a request, with their weights."""


class Requests:
    """Chooses requests for one kind of resource."""

    def __init__(self, resources: Resources, rng: random.Random) -> None:
        self.resources, self.rng = resources, rng
        self.next_pages: list[ReadRequest] = []

    def reads(self) -> Choices:
        """Return the methods that return read requests; one may return None for now."""
        return {}

    def writes(self) -> Choices:
        """Return the methods that return write requests; one may return None for now."""
        return {}

    def usual(self, kind: str, choose_parameters: Callable[[], Values]) -> Values:
        """Return the parameters of a list that is often requested, so that it is in the cache."""
        variants = self.resources.usual.setdefault(kind, [])
        if len(variants) < USUAL:
            variants.append(choose_parameters())
        elif self.rng.random() < RENEW:
            variants[self.rng.randrange(USUAL)] = choose_parameters()
        return self.rng.choice(variants)

    def list_request(
        self,
        kind: str,
        path: str,
        parameters: Values,
        query: ListQuery,
        *,
        show: Callable[[Values], Condition],
        also: Callable[[Page], Sequence[Fact]] = lambda _: (),
    ) -> ReadRequest:
        """Return the request for the first page of a list, and often request the pages after it.

        ``also`` returns what a page shows besides its rows.
        """
        url = f"{path}?{urlencode(parameters)}"
        return ReadRequest(get(url), _PageReader(self, kind, url, query, show, also).read)


@dataclass(frozen=True)
class _PageReader:
    """Reads a page, and requests the next one."""

    requests: Requests
    kind: str
    url: str
    query: ListQuery
    show: Callable[[Values], Condition]
    also: Callable[[Page], Sequence[Fact]]
    after: Any = None

    def read(self, response: Response) -> Read:
        if response.status != 200:
            return Read(response, self.kind)
        page = read_page(response, self.query, self.show, self.after)
        if page.next_cursor and page.items and self.requests.rng.random() < CONTINUE:
            self._continue(page)
        listing = page.listing if page.items or not page.next_cursor else None
        facts = (*page.facts, *self.also(page))
        return Read(response, self.kind, facts, listing, page.consistent)

    def _continue(self, page: Page) -> None:
        reader = replace(self, after=self.query.key(page.items[-1]))
        message = get(f"{self.url}&cursor={page.next_cursor}")
        self.requests.next_pages.append(ReadRequest(message, reader.read))


def choose(rng: random.Random, choices: Choices) -> Any:
    """Return the result of a method chosen by its weight."""
    (method,) = rng.choices([*choices], [*choices.values()])
    return method()


def version_of(etag: str) -> int:
    """Return the version that an ETag contains."""
    return int(etag.strip('"').partition("-")[0])


def shown_by(response: Response) -> Values:
    """Return what the response to a read or to a write shows of one row, with its version."""
    shown = body_of(response) if response.body else {}
    return {**shown, "version": version_of(response.etag)} if response.etag else shown


def new_token() -> str:
    """Return a text that nothing else contains."""
    return secrets.token_hex(8)


def body_of(response: Response) -> Any:
    """Return the parsed body of a response."""
    return orjson.loads(response.body)
