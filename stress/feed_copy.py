"""Copy the shop by its exports and its feed, while it is written to, and compare the copies.

`python -m stress.feed_copy [--copies N] [--seed N]`. Each copy begins with an export, and goes on
with the events after its Feed-Cursor. At the cursor of each later export it has to equal that one.
"""

import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import click
import orjson

from stack.servers import Redis
from stress.consistency.clients import KINDS, Clients
from stress.data import new_database
from stress.service import LiveService
from stress.subscriptions.log_check import ADJUSTMENT, DERIVED, thing_of
from stress.subscriptions.records import Shown, position_of
from stress.subscriptions.writers import Loads, Mutations

TABLES = ("book", "review", "product")
LEFT_OUT = DERIVED | ADJUSTMENT | {"source_id"}
Rows = Mapping[int, Mapping[str, Any]]


class Export(NamedTuple):
    """An export, by the ids of its rows, and its place in the log."""

    table: str
    position: int
    rows: Rows


def check_copies(
    *,
    seed: int,
    copies: int = 10,
    pause: float = 2.0,
    writers: int = 8,
    loads: bool = True,
    sqlite: bool = False,
    database: str | None = None,
) -> list[str]:
    """Export so many times, at intervals of ``pause`` seconds on average; return the errors."""
    rng = random.Random(seed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        url = stack.enter_context(new_database(sqlite=sqlite, given=database))
        settings = {"DATABASE_URL": url}
        if not sqlite:
            settings["REDIS_URL"] = stack.enter_context(Redis()).url
        service = stack.enter_context(LiveService("asgi:app", 2, **settings))
        kinds = (*KINDS, Mutations)
        clients = Clients(service.port, seed, readers=0, writers=writers, kinds=kinds)
        exports: list[Export] = []
        with ExitStack() as writing:
            writing.enter_context(clients)
            if loads:
                writing.enter_context(Loads(folder, settings, seed))
            for _ in range(copies):
                time.sleep(rng.uniform(0, 2 * pause))
                exports += [read_export(service.port, table) for table in TABLES]
        exports += [read_export(service.port, table) for table in TABLES]
        log = read_log(service.port)
    errors = [*compare(exports, log)]
    rows = sum(len(one.rows) for one in exports)
    print(f"{copies} copies: {len(exports)} exports, {rows:,} rows, {len(log):,} events")
    print("\n".join(errors[:10]) or "each copy equals the later exports")
    return errors


def read_export(port: int, table: str) -> Export:
    """Read an export, without what derives from other things."""
    body, cursor = _get(port, f"/{table}s/export?format=ndjson")
    rows = [orjson.loads(line) for line in body.splitlines()]
    return Export(table, position_of({"cursor": cursor}), {row["id"]: row for row in rows})


def read_log(port: int) -> list[Shown]:
    """Read all pages of the feed."""
    log: list[Shown] = []
    after = ""
    while True:
        page = orjson.loads(_get(port, f"/changes?limit=1000{after}")[0])
        log += page["items"]
        after = f"&after={page['cursor']}"
        if not page["has_more"]:
            return log


def _get(port: int, path: str) -> tuple[bytes, str]:
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", path, headers={"Accept": "*/*"})
        response = connection.getresponse()
        body = response.read()
    if response.status != 200:
        raise SystemExit(f"{path}: {response.status}, {body[:200]!r}")
    return body, response.headers.get("Feed-Cursor", "")


def compare(exports: Sequence[Export], log: Sequence[Shown]) -> Iterator[str]:
    """Describe each difference between a copy and a later export."""
    for one, later in combinations(exports, 2):
        copy = copy_at(one, log, later.position)
        what = f"{one.table}s exported at {one.position}, copied to {later.position}"
        if one.table == later.table:
            have, want = ({n: _own(row) for n, row in rows.items()} for rows in (copy, later.rows))
            for number in sorted(have.keys() | want.keys()):
                if have.get(number) != want.get(number):
                    yield f"{what}, {number}: {have.get(number)}, not {want.get(number)}"
        elif (one.table, later.table) == ("review", "book"):
            ratings = Counter((row["book_id"], str(row["rating"])) for row in copy.values())
            for number, book in later.rows.items():
                stars = {rating: ratings[number, rating] for rating in book["stars"]}
                if stars != book["stars"]:
                    yield f"{what}: book {number} has {stars}, not {book['stars']}"


def copy_at(export: Export, log: Sequence[Shown], position: int) -> Rows:
    """Return the rows of an export after the events up to a position."""
    rows = dict(export.rows)
    for event in log:
        table, number = thing_of(event)
        if table == export.table and export.position < position_of(event) <= position:
            if event["type"].endswith(("deleted", "hidden")):
                rows.pop(number, None)
            else:
                rows[number] = event["data"]
    return rows


def _own(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in row.items() if name not in LEFT_OUT}


@click.command()
@click.option("--copies", default=10, show_default=True)
@click.option("--pause", default=2.0, show_default=True, help="Mean seconds between two exports.")
@click.option("--seed", type=int, help="Repeat the choices of the writers of a run.")
@click.option("--sqlite", is_flag=True, help="Use SQLite instead of PostgreSQL and Redis.")
def main(seed: int | None, **options: Any) -> None:
    """Compare copies by export and feed with later exports; exit 1 if one differs."""
    seed = random.randrange(2**32) if seed is None else seed
    print(f"feed copy: seed {seed}", flush=True)
    sys.exit(bool(check_copies(seed=seed, **options)))


if __name__ == "__main__":
    main(prog_name="python -m stress.feed_copy")
