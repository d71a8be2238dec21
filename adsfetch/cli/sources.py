"""The sources of a run, made from the options of a command or from what datasets remember."""

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from adsfetch.cli.options import folder_of
from adsfetch.cli.output import print_note
from adsfetch.dataset_run import Settings
from adsfetch.errors import UsageError
from adsfetch.fetch.metrics import CallMetrics
from adsfetch.fetch.retry import RetriedCall
from adsfetch.fetch.throttle import Throttle
from adsfetch.function_source import FunctionSource
from adsfetch.google import report
from adsfetch.google.accounts import Client, normalize_customer_id, read_customers
from adsfetch.google.report import Access
from adsfetch.google.source import GoogleAdsSource, SharedConnection
from adsfetch.remembered_source import remembered_source
from adsfetch.sources import Source
from adsfetch.storage import dataset

Group = list[tuple[Source, Path]]
"""Sources that share a connection and a pool, each with the folder of its dataset."""
ACCOUNTS = ("customer_id", "customers", "manager")
GOOGLE = (*ACCOUNTS, "login_customer_id", "config", "query", "api_version")
SOURCE_OPTIONS = ("source", *GOOGLE)


def groups_of(
    options: dict[str, Any], settings: Settings, notify: Callable[[str], None]
) -> list[Group]:
    """Return the sources that the options name; without any, those that ``update`` remembers.

    Raise UsageError if none or too many are named. ``--manager`` costs one operation.
    """
    out, name = options["out"].absolute(), options["dataset"]  # a source may change the folder
    sources = named_sources(options, settings, notify)
    if sources:
        if name and len(sources) > 1:
            raise UsageError(f"--dataset names one dataset, but there are {len(sources)} accounts")
        return [with_folders(sources, out, name)]
    if not options.get("may_remember"):
        raise UsageError(
            "name a source: --customer-id for Google Ads, or --source MODULE:FUNCTION; only update "
            "and verify remember it"
        )
    return remembered_groups(out, name, options["timeout"])


def with_folders(sources: Sequence[Source], out: Path, name: str | None) -> Group:
    """Return each source with its dataset's folder, also if ``rename`` gave that another name.

    Without that, the command of yesterday would begin a second dataset of the same rows. Raise
    UsageError if several datasets have a source, and none of them has its usual name.
    """
    pairs = [(source, folder_of(out, name, source.name)) for source in sources]
    new = [folder for _, folder in pairs if not (folder / "dataset.json").exists()]
    if name or not new:
        return pairs
    found: dict[str, list[Path]] = {}
    for path in sorted(out.glob("*/dataset.json")):
        found.setdefault(dataset.load(path).source, []).append(path.parent)
    return [
        (source, only_one(found.get(source.identity, [folder])) if folder in new else folder)
        for source, folder in pairs
    ]


def only_one(folders: Sequence[Path]) -> Path:
    """Return the only folder; raise UsageError if there are several."""
    if len(folders) > 1:
        names = ", ".join(folder.name for folder in folders)
        raise UsageError(f"several datasets have this source: choose one with --dataset: {names}")
    return folders[0]


def named_sources(
    options: dict[str, Any], settings: Settings, notify: Callable[[str], None]
) -> Sequence[Source]:
    """Return the sources that the options name; none if they name none."""
    named = [f"--{name.replace('_', '-')}" for name in GOOGLE if options[name]]
    if options["source"]:
        if named:
            raise UsageError(f"{named[0]} is for Google Ads, but --source names another source")
        return [FunctionSource(options["source"], options["timeout"])]
    if not any(options[name] for name in ACCOUNTS):
        if named:
            raise UsageError(f"{named[0]} needs --customer-id, --customers or --manager")
        return []
    return google_sources(options, settings, notify)


def google_sources(
    options: dict[str, Any], settings: Settings, notify: Callable[[str], None]
) -> Sequence[Source]:
    """Return a source for each account that the options name."""
    query, timeout = report.load(options["query"]), options["timeout"]
    ids = [normalize_customer_id(each) for each in options["customer_id"]]
    if options["customers"]:
        ids += read_customers(options["customers"])
    manager = options["manager"] and normalize_customer_id(options["manager"])
    login = options["login_customer_id"]
    access = Access(
        normalize_customer_id(login) if login else manager or None,
        options["config"],
        options["api_version"],
    )
    shared = SharedConnection(access)
    zones = dict.fromkeys(ids, "")
    if manager:
        clients = fetch_clients(shared, manager, timeout, settings)
        for client in clients:
            if client.obstacle:
                notify(f"{client.customer_id} {client.name} is left out: {client.obstacle}")
            else:
                zones[client.customer_id] = client.time_zone
        if all(client.obstacle for client in clients):
            if not ids:
                raise UsageError(f"the manager {manager} has no enabled clients")
            print_note(f"the manager {manager} has no enabled clients")
    return [GoogleAdsSource(each, query, timeout, shared, zones[each]) for each in zones]


def fetch_clients(
    shared: SharedConnection, manager: str, timeout: float, settings: Settings
) -> list[Client]:
    """Ask Google for the clients of a manager account."""

    def call() -> list[Client]:
        if settings.budget:
            settings.budget.take()
        return shared.clients(manager, timeout)

    return RetriedCall(settings.retry, Throttle(1), CallMetrics()).alone(call)


def remembered_groups(out: Path, name: str | None, timeout: float) -> list[Group]:
    """Return the sources of the datasets in a folder, or of one of them."""
    paths = [folder_of(out, name)] if name else [each.parent for each in out.glob("*/dataset.json")]
    found, shared = [], dict[Access, SharedConnection]()
    for path in sorted(paths):
        described = dataset.load(path / "dataset.json")
        if described.remembered:
            found.append((remembered_source(described.remembered, timeout, shared), path))
        else:
            print_note(f"{path.name} does not remember its source: name it once more")
    if not found:
        raise UsageError(
            f"no dataset in {out} remembers its source: name it with --customer-id or --source"
        )

    def connection(pair: tuple[Source, Path]) -> int:
        return id(pair[0].shared) if isinstance(pair[0], GoogleAdsSource) else id(pair[0])

    return [list(group) for _, group in groupby(sorted(found, key=connection), connection)]
