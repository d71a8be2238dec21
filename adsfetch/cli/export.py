"""The command ``export``: datasets as Parquet files or Delta tables."""

from pathlib import Path
from typing import Any

import click

from adsfetch.cli.inspect import open_dataset
from adsfetch.cli.options import FOLDER, JSON, LOCK, OUT, QUIET, datasets_in, folder_of
from adsfetch.cli.output import examples, print_note, print_result
from adsfetch.errors import FatalError, UsageError, text_of
from adsfetch.export.target import KEYS, Target
from adsfetch.storage.store import Store


@click.command(
    short_help="Write Parquet files or Delta tables.",
    epilog=examples(
        "adsfetch export --to parquet --out data lake",
        "adsfetch export --to delta --partition date --out data delta",
    ),
)
@click.argument("target", type=FOLDER)
@click.option(
    "--to", "form", type=click.Choice(["parquet", "delta"]), required=True, help="The format."
)
@click.option(
    "--partition",
    type=click.Choice([*KEYS]),
    help="What is replaced as a whole; by default as in the last export, at first month.",
)
@OUT
@click.option("--dataset", help="Name of one dataset in DIR; by default all are exported.")
@LOCK
@QUIET
@JSON
def export(target: Path, form: str, partition: str | None, **options: Any) -> None:
    """Write datasets to the folder TARGET, each to a folder of its own, or bring that up to date.

    Only what contains a day that has changed is written again. Without --dataset all datasets
    are exported; one that fails does not stop the others.
    """
    import_pyarrow()
    records, code, quiet = [], 0, options["quiet"]
    for name in [options["dataset"]] if options["dataset"] else datasets_in(options["out"]):
        folder = folder_of(options["out"], name)
        try:
            with open_dataset(folder, options["lock_wait"], quiet=quiet) as store:
                records.append(export_dataset(store, target / name, form, partition))
        except FatalError as error:
            print_note(f"{name}: {text_of(error)}")
            code = max(code, error.exit_code)
    lines = [
        f"{r['dataset']}: {r['written']} partitions written, {r['rows']} rows; "
        f"{r['unchanged']} are up to date, {r['removed']} were removed\n{r['folder']}"
        for r in records
    ]
    record, as_json = {"exports": records}, options["as_json"]
    print_result(record, "\n".join(lines), as_json=as_json, quiet=quiet)
    click.get_current_context().exit(code)


def export_dataset(store: Store, folder: Path, form: str, partition: str | None) -> dict[str, Any]:
    """Export one dataset, and return what was done."""
    from adsfetch.export.run import Export  # noqa: PLC0415 - the extra is optional

    if Store(folder).exists():
        raise UsageError(f"{folder} is a dataset: choose another folder for the export")
    done = Export(store, target_in(folder, form, partition)).run()
    record = {"dataset": store.folder.name, "folder": str(folder.absolute())}
    return {**record, **vars(done)}


def target_in(folder: Path, form: str, partition: str | None) -> Target:
    """Return the target; raise UsageError if there is an export of another form."""
    from adsfetch.export.delta import DeltaTarget  # noqa: PLC0415 - the extra is optional
    from adsfetch.export.parquet import ParquetTarget  # noqa: PLC0415 - the same

    found = [name for name, key in KEYS.items() if any(folder.glob(f"{key}=*"))]
    is_delta = (folder / "_delta_log").exists()
    if (found or is_delta) and is_delta != (form == "delta"):
        raise UsageError(f"{folder} has an export in the other format: choose another folder")
    if partition and found and partition not in found:
        raise UsageError(f"{folder} is partitioned by {found[0]}: choose another folder")
    key = KEYS[partition or (found or ["month"])[0]]
    return DeltaTarget(folder, key) if is_delta or form == "delta" else ParquetTarget(folder, key)


def import_pyarrow() -> None:
    """Import the libraries; raise UsageError that says what to install."""
    try:
        import deltalake  # noqa: F401, PLC0415 - the extra is optional
        import pyarrow  # noqa: F401, PLC0415 - the same
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(("pyarrow", "deltalake", "arro3")):
            raise
        raise UsageError(
            "an export needs the extra 'parquet': pip install '.[parquet]' in a checkout of this "
            "project"
        ) from None
