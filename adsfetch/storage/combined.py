"""The file of all accounts: their aggregates one after the other, with the customer id in front."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple

from adsfetch.errors import StoreError
from adsfetch.storage import atomic, dataset
from adsfetch.storage.aggregate import file_stamp
from adsfetch.storage.csv import RowEncoder

FOLDER = "all"
IDENTITY = re.compile(r"Google Ads (\d{10}), query ([0-9a-f]+)")
LINES_AT_ONCE = 10_000


@dataclass(frozen=True)
class Combined:
    """A file of all accounts, and whether it had to be written."""

    path: Path
    written: bool


class Account(NamedTuple):
    """The dataset of one account and query; ``origin`` changes with its rows."""

    query: str
    fingerprint: str
    customer_id: str
    path: Path
    columns: tuple[str, ...]
    origin: str


def write_combined(folders: Sequence[Path]) -> list[Combined]:
    """Write the files of all accounts to which the datasets in these folders belong.

    There is one for each query that several accounts in DIR have: DIR/all/<query>.csv.
    """
    found: list[Combined] = []
    for out in sorted({folder.parent for folder in folders}):
        accounts = sorted(_accounts(out))
        own = {each[:2] for each in accounts if each.path.parent in folders}
        for key in sorted(own):
            group = [each for each in accounts if each[:2] == key]
            if len({each.customer_id for each in group}) > 1:
                check_each_once(out / FOLDER / f"{key[0]}.csv", group)
                found.append(_write(out / FOLDER / f"{key[0]}.csv", group))
    return found


def check_each_once(target: Path, accounts: Sequence[Account]) -> None:
    """Raise StoreError if the rows of an account would be in the file twice."""
    for one, other in pairwise(accounts):  # sorted by account
        if one.customer_id == other.customer_id:
            raise StoreError(
                f"{one.path.parent} and {other.path.parent.name} contain the same report of "
                f"{one.customer_id}, which would be in {target} twice: move one of them away"
            )


def _accounts(out: Path) -> Iterator[Account]:
    for path in out.glob("*/dataset.json"):
        described = dataset.load(path)
        identity = IDENTITY.fullmatch(described.source)
        if identity and described.columns:
            customer_id, fingerprint = identity.groups()
            folder = path.parent.name
            query = described.remembered.get("query_name") or folder.partition("-")[2] or folder
            origin = str(described.aggregate.get("origin", ""))
            aggregate = path.with_name("all.csv")
            yield Account(query, fingerprint, customer_id, aggregate, described.columns, origin)


def _write(target: Path, accounts: Sequence[Account]) -> Combined:
    """Write the file if an account has changed; constant memory, without parsing the cells."""
    first = accounts[0]
    for other in accounts:
        if other.columns != first.columns:
            raise StoreError(
                f"{other.path} has other columns than {first.path}: {target} needs the same ones"
            )
    parts = [f"{each.customer_id} {each.origin}" for each in accounts]
    origin = hashlib.sha256("\n".join([*first.columns, *parts]).encode()).hexdigest()
    stamp_path = target.with_suffix(".json")
    if _stored(stamp_path) == {**file_stamp(target), "origin": origin}:
        return Combined(target, written=False)
    with atomic.disk_errors(target):
        target.parent.mkdir(exist_ok=True)
    with atomic.temporary_file(target) as temp:
        _copy(accounts, first.columns, temp, target)
    atomic.move_into_place(Path(temp.name), target)
    atomic.write_file(stamp_path, json.dumps({**file_stamp(target), "origin": origin}).encode())
    return Combined(target, written=True)


def _stored(path: Path) -> object:
    try:
        return json.loads(atomic.read_file(path) or b"{}")
    except ValueError:
        return {}


def _copy(
    accounts: Iterable[Account], columns: Sequence[str], temp: BinaryIO, target: Path
) -> None:
    header = RowEncoder(("customer_id", *columns)).header
    with atomic.disk_errors(target):
        temp.write(header)
    for account in accounts:
        with atomic.read_errors(account.path):
            source = account.path.open("rb")
        with source:
            lines = _prefixed(source, f"{account.customer_id},".encode())
            next(lines, b"")  # the header
            while some := b"".join(islice(lines, LINES_AT_ONCE)):
                with atomic.disk_errors(target):
                    temp.write(some)


def _prefixed(lines: Iterable[bytes], prefix: bytes) -> Iterator[bytes]:
    """Put a prefix in front of each record; a quoted cell may contain ends of lines."""
    in_quotes = False
    for line in lines:
        yield line if in_quotes else prefix + line
        in_quotes ^= line.count(b'"') % 2 == 1
