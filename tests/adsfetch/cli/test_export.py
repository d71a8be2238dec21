"""The command export: all datasets of a folder, with the types of Google's fields."""

import csv
import json
from collections import Counter
from decimal import Decimal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from tests.test_commands_in_documents import TEXTS, blocks

PARQUET = ("export", "--to", "parquet", "--out", "data", "lake")
DELTA = ("export", "--to", "delta", "--out", "data", "lake")


def shops(fetch):
    for name in ("one", "two"):
        assert fetch("fetch", "2024-01-30", "2024-02-02", "--dataset", name).code == 0


def test_all_datasets_are_exported_or_the_named_one(shop, fetch, run):
    shops(fetch)
    result = run(*PARQUET, "--dataset", "two")
    assert result.out.splitlines() == [
        "two: 2 partitions written, 4 rows; 0 are up to date, 0 were removed",
        str(shop.folder / "lake/two"),
    ]
    exports = run(*PARQUET, "--json").json["exports"]
    assert [(e["dataset"], e["written"], e["unchanged"]) for e in exports] == [
        ("one", 2, 0),
        ("two", 0, 2),
    ]
    assert pq.read_table(shop.folder / "lake/one").num_rows == 4


def test_a_dataset_that_fails_does_not_stop_the_others(shop, fetch, run):
    shops(fetch)
    path = shop.folder / "data/one/dataset.json"
    path.write_text("nonsense")
    result = run(*PARQUET)
    assert result.code == 1
    assert "one: " in result.err
    assert "is damaged" in result.err
    assert result.out.startswith("two: 2 partitions written")
    quiet = run(*PARQUET, "--quiet")
    assert (quiet.code, quiet.out, quiet.err) == (1, "", result.err)


def test_the_partition_of_the_last_export_is_kept(shop, fetch, run):
    shops(fetch)
    run(*PARQUET, "--partition", "date")
    again = run(*PARQUET, "--json").json["exports"]
    assert [(each["written"], each["unchanged"]) for each in again] == [(0, 4), (0, 4)]
    result = run(*PARQUET, "--partition", "month")
    assert result.code == 2
    assert result.err.count("is partitioned by date: choose another folder") == 2
    result = run(*DELTA)
    assert result.code == 2
    assert "in the other format" in result.err


def test_an_export_into_the_folder_of_the_data_is_refused(shop, fetch, run):
    shops(fetch)
    result = run("export", "--to", "parquet", "--out", "data", "data")
    assert result.code == 2
    assert "is a dataset: choose another folder" in result.err
    assert run("export", "--to", "parquet", "--out", "nothing", "lake").code == 2


def test_without_the_extra_the_error_says_what_to_install(run_program, shop, fetch):
    shops(fetch)
    (shop.folder / "pyarrow.py").write_text("raise ModuleNotFoundError('no', name='pyarrow')")
    result = run_program(*PARQUET)
    assert result.code == 2
    assert "pip install '.[parquet]'" in result.err
    assert run_program("aggregate", "--out", "data", "--dataset", "one", "--by", "month").code == 0


def test_the_types_of_google_are_recorded_at_the_fetch(google, run, tmp_path):
    assert google("fetch", "2024-01-30", "2024-02-02").code == 0
    types = json.loads((tmp_path / "data/1234567890-campaign/dataset.json").read_text())["types"]
    assert types["segments.date"] == "date"
    assert types["campaign.status"] == "enum"
    run(*PARQUET)
    table = pq.read_table(tmp_path / "lake/1234567890-campaign")
    assert table.schema.field("customer_id").type == pa.dictionary(pa.int32(), pa.string())
    assert table.schema.field("segments.date").type == pa.date32()
    assert table.schema.field("metrics.cost").type == pa.decimal128(19, 6)


def test_the_query_of_the_document_gives_the_cost_per_month_and_account(
    google, run, tmp_path, monkeypatch
):
    both = ("fetch", "2024-01-30", "2024-02-02", "--customer-id", "987-654-3210")
    assert google(*both).code == 0
    run(*PARQUET)
    (query,) = [block for block in blocks(TEXTS["ads.md"]) if "read_parquet" in block]
    monkeypatch.chdir(tmp_path)
    found = duckdb.connect().sql(query).fetchall()
    expected = Counter()
    for account in ("1234567890", "9876543210"):
        with (tmp_path / f"data/{account}-campaign/all.csv").open(newline="") as lines:
            for row in csv.DictReader(lines):
                expected[account, row["segments.date"][:7]] += Decimal(row["metrics.cost"])
    assert len(expected) == 4
    assert {(account, f"{month}"[:7]): cost for account, month, cost in found} == expected
