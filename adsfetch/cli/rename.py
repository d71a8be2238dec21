"""The command ``rename``: another name, another place of the source, or a query with more."""

import sys
from collections.abc import Iterator
from contextlib import closing, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from adsfetch.cli.inspect import open_dataset
from adsfetch.cli.options import DATASET, FILE, JSON, LOCK, OUT, folder_of
from adsfetch.cli.output import examples, print_result
from adsfetch.errors import UsageError
from adsfetch.function_source import FunctionSource
from adsfetch.google import report
from adsfetch.google.report import Access, Report
from adsfetch.google.source import GoogleAdsSource, SharedConnection, import_connection
from adsfetch.storage import dataset as descriptions
from adsfetch.storage.aggregate import write_aggregate
from adsfetch.storage.atomic import disk_errors
from adsfetch.storage.columns import add_columns
from adsfetch.storage.store import Store


@click.command(
    epilog=examples(
        "adsfetch rename --dataset fetch_data --to shop --out data",
        "adsfetch rename --dataset shop --source reports.shop:fetch_data --out data",
        "adsfetch rename --query campaign.gaql --out data",
    )
)
@OUT
@DATASET
@click.option("--to", "new_name", help="New name of the dataset.")
@click.option("--source", metavar="MODULE:FUNCTION", help="Where the function is now.")
@click.option("--query", type=FILE, help="The query of the same name, which now selects more.")
@LOCK
@JSON
def rename(
    out: Path,
    dataset: str | None,
    new_name: str | None,
    source: str | None,
    query: Path | None,
    **options: Any,
) -> None:
    """Give a dataset another name or source, and keep its days.

    A query may select more than before: the days that are held get blank cells in the new
    columns. Without --dataset that concerns all accounts in DIR with a query of this name.
    """
    if sum(map(bool, (new_name, source, query))) != 1:
        raise UsageError("name one of --to, --source and --query")
    if query:
        done = extend(out, dataset, report.load(query), options["lock_wait"])
    elif source:
        done = [move_source(folder_of(out, dataset), source, options["lock_wait"])]
    else:
        done = [move_folder(folder_of(out, dataset), folder_of(out, new_name), options)]
    print_result({"datasets": done}, "\n".join(done), as_json=options["as_json"])


def move_folder(old: Path, new: Path, options: dict[str, Any]) -> str:
    """Rename the folder of a dataset."""
    with open_dataset(old, options["lock_wait"]), disk_errors(new):
        if new.exists():
            raise UsageError(f"there is a {new} already")
        old.rename(new)
    return f"{old.name} is {new.name} now"


def move_source(folder: Path, spec: str, lock_wait: float) -> str:
    """Record where the function of a dataset is now; raise UsageError if it is not there."""
    source = FunctionSource(spec, timeout=1.0)
    with closing(source), redirect_stdout(sys.stderr):  # the module may print
        source.open()
    with open_dataset(folder, lock_wait) as store:
        if store.dataset.source.startswith("Google Ads "):
            raise UsageError(f"{folder.name} is a report of Google Ads, not of a function")
        described = replace(store.dataset, source=spec, remembered=dict(source.options))
        store.save_description(described)
    return f"{folder.name} is fetched from {spec} in {source.options['folder']} now"


def extend(out: Path, name: str | None, query: Report, lock_wait: float) -> list[str]:
    """Let the datasets of a query, or one of them, have the columns of its new text."""
    folders = [folder_of(out, name)] if name else sorted(folders_of(out, query))
    if not folders:
        raise UsageError(f"no dataset in {out} has a query {query.name}")
    done = []
    for folder in folders:
        with open_dataset(folder, lock_wait) as store:
            rewritten = extend_dataset(store, query)
        done.append(f"{folder.name}: {rewritten} days have new columns")
    return done


def folders_of(out: Path, query: Report) -> Iterator[Path]:
    """Yield the folders of the datasets whose query has this name."""
    for path in out.glob("*/dataset.json"):
        if descriptions.load(path).remembered.get("query_name") == query.name:
            yield path.parent


def extend_dataset(store: Store, query: Report) -> int:
    """Record the new query of a dataset, and add its columns; return the number of changed days."""
    remembered = store.dataset.remembered
    if "customer_id" not in remembered:
        raise UsageError(
            f"{store.folder.name} does not remember its account: run update with --customer-id"
        )
    check_extension(report.parse(query.name, remembered["query"]), query)
    access = Access(remembered.get("login_customer_id"), None, remembered.get("api_version"))
    shared = SharedConnection(access)
    source = GoogleAdsSource(remembered["customer_id"], query, 1.0, shared)
    fields = import_connection().fields_of(query.fields, access.api_version)
    rewritten = add_columns(store, fields.names) if store.dataset.columns else 0
    kept = {name: remembered[name] for name in ("config",) if name in remembered}
    described = replace(
        store.dataset,
        source=source.identity,
        remembered={**source.options, **kept},
        types=fields.types,
    )
    store.save_description(described)
    write_aggregate(store)
    return rewritten


def check_extension(old: Report, new: Report) -> None:
    """Raise UsageError if the new query would select other rows than the old one."""
    changed = [
        name
        for name in old.clauses.keys() | new.clauses.keys()
        if name != "SELECT" and old.clauses.get(name) != new.clauses.get(name)
    ]
    if changed:
        raise UsageError(
            f"the query {new.name} has another {', '.join(sorted(changed))} than the days that are "
            "held: choose another name with --dataset for it"
        )
    segments = [field for field in new.fields if field.startswith("segments.")]
    if added := [field for field in segments if field not in old.fields]:
        raise UsageError(
            f"the query {new.name} also selects {', '.join(added)}, by which Google divides rows: "
            "choose another name with --dataset for it"
        )
