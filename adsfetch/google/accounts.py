"""The accounts of a run: from a file, or all clients of a manager account."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from adsfetch.errors import UsageError
from adsfetch.sources import Batch

CUSTOMER = re.compile(r"\d{3}-?\d{3}-?\d{4}", re.ASCII)
FIELDS = (
    "customer_client.id",
    "customer_client.descriptive_name",
    "customer_client.status",
    "customer_client.test_account",
    "customer_client.time_zone",
)
WHERE = "FROM customer_client WHERE customer_client.manager = FALSE"
CLIENTS = " ".join(("SELECT", ", ".join(FIELDS), WHERE))


class Client(NamedTuple):
    """A client account of a manager, at any level below it."""

    customer_id: str
    name: str
    status: str
    is_test: bool
    time_zone: str

    @property
    def obstacle(self) -> str:
        """Return why it is not fetched; an empty string if it is."""
        if self.status != "ENABLED":
            return self.status.lower()
        return "a test account" if self.is_test else ""


def clients_of(batches: Iterable[Batch]) -> list[Client]:
    """Return the clients in the rows of CLIENTS, each once, in the order of their ids."""
    return sorted({client.customer_id: client for client in _clients(batches)}.values())


def _clients(batches: Iterable[Batch]) -> Iterator[Client]:
    for batch in batches:
        for number, name, status, is_test, time_zone in zip(*batch.columns, strict=True):
            yield Client(number, name, status, is_test == "True", time_zone)


def read_customers(path: Path) -> list[str]:
    """Return the customer ids in a file: one in each line, with comments after ``#``."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UsageError(f"cannot read the customers in {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"cannot read the customers in {path}: {error}") from None
    texts = [(number, line.partition("#")[0].strip()) for number, line in enumerate(lines, 1)]
    found = [_customer_in(path, number, text) for number, text in texts if text]
    if not found:
        raise UsageError(f"{path} names no customer")
    return found


def _customer_in(path: Path, number: int, text: str) -> str:
    try:
        return normalize_customer_id(text)
    except UsageError as error:
        raise UsageError(f"{path}, line {number}: {error}") from None


def normalize_customer_id(customer_id: str) -> str:
    """Return a customer id without hyphens, as the API expects it."""
    if not CUSTOMER.fullmatch(customer_id):
        raise UsageError(f"{customer_id!r} is not a customer id: write ten digits, 123-456-7890")
    return customer_id.replace("-", "")
