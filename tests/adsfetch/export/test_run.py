"""Exports are equal to the dataset, and only what has changed is written again."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adsfetch.errors import StoreError, UsageError
from adsfetch.export.groups import Groups
from adsfetch.export.parquet import ParquetTarget
from adsfetch.sources import Batch
from adsfetch.storage.verify import sha256_of
from tests.adsfetch.export.exports import export, make_dataset, rows_in, state_of, table_in

both = pytest.mark.parametrize("form", ["parquet", "delta"])
GOOGLE = {
    "segments.date": ("date", ["2024-02-29", "2024-02-29"]),
    "campaign.id": ("int64", ["9007199254740993", ""]),
    "campaign.name": ("string", ['Line one\nline "two", 🎈\0', ""]),
    "campaign.status": ("enum", ["ENABLED", "99"]),
    "campaign.labels": ("json", ['["a", "b;c"]', "[]"]),
    "metrics.cost_micros": ("int64", ["9223372036854775807", "-1"]),
    "metrics.cost": ("decimal", ["9223372036854.775807", "-0.000001"]),
    "metrics.ctr": ("double", ["0.30000000000000004", "1e-05"]),
    "customer.test_account": ("bool", ["true", "false"]),
    "campaign.code": ("string", ["007", "2024-02-29"]),
}


def google_batch(**changes):
    columns = {name: cells for name, (_, cells) in GOOGLE.items()} | changes
    types = {name: kind for name, (kind, _) in GOOGLE.items()}
    return Batch(tuple(columns), list(columns.values()), types)


def cells(*texts, column="note"):
    return [{column: text} for text in texts]


@pytest.fixture
def target(tmp_path):
    return tmp_path / "lake"


@both
def test_the_columns_of_google_have_the_types_of_their_fields(tmp_path, target, form):
    source = "Google Ads 1234567890, query abc"
    store = make_dataset(tmp_path / "data", {"2024-02-29": [google_batch()]}, source=source)
    export(store, target, form)
    enum = pa.dictionary(pa.int32(), pa.string()) if form == "parquet" else pa.string()
    assert table_in(target, form).schema.remove_metadata() == pa.schema(
        {
            "customer_id": enum,
            "segments.date": pa.date32(),
            "campaign.id": pa.int64(),
            "campaign.name": pa.string(),
            "campaign.status": enum,
            "campaign.labels": pa.string(),
            "metrics.cost_micros": pa.int64(),
            "metrics.cost": pa.decimal128(19, 6),
            "metrics.ctr": pa.float64(),
            "customer.test_account": pa.bool_(),
            "campaign.code": pa.string(),
        }
    )
    day = date(2024, 2, 29)
    assert [tuple(row.values()) for row in table_in(target, form).to_pylist()] == [
        (
            "1234567890", day, 9_007_199_254_740_993, 'Line one\nline "two", 🎈\0', "ENABLED",
            '["a", "b;c"]', 2**63 - 1, Decimal("9223372036854.775807"), 0.1 + 0.2, True, "007",
        ),
        (
            "1234567890", day, None, None, "99", "[]", -1, Decimal("-0.000001"), 0.00001, False,
            "2024-02-29",
        ),
    ]  # fmt: skip


@both
@pytest.mark.parametrize("partition", ["month", "date"])
def test_reading_back_gives_the_cells_of_the_days(tmp_path, target, form, partition):
    days = {
        "2024-01-31": [{"clicks": 1, "note": "=1+1", "price": "1.50", "on": True}],
        "2024-02-01": [],
        "2024-02-29": [
            {"clicks": None, "note": "ß🎈\r\n", "price": "", "on": None},
            {"clicks": -7, "note": "\0 '", "price": "-2e3", "on": False},
        ],
    }
    store = make_dataset(tmp_path / "data", days, escape_formulas=True)
    assert export(store, target, form, partition).rows == 3
    assert rows_in(target, form) == sorted(
        [
            {"date": date(2024, 1, 31), "clicks": 1, "note": "'=1+1", "price": 1.5, "on": True},
            {
                "date": date(2024, 2, 29),
                "clicks": None,
                "note": "ß🎈\r\n",
                "price": None,
                "on": None,
            },
            {"date": date(2024, 2, 29), "clicks": -7, "note": "\0 '", "price": -2e3, "on": False},
        ],
        key=repr,
    )


@settings(max_examples=30, deadline=None)
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_any_text_comes_back_as_text_or_as_the_same_number(tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("any")
    store = make_dataset(folder / "data", {"2024-02-29": cells(*texts)})
    export(store, folder / "lake", "parquet")
    found = table_in(folder / "lake", "parquet").column("note").to_pylist()
    for text, value in zip(texts, found, strict=True):
        same = value == text if isinstance(value, str) else str(value).lower() == text
        assert same or (value is None and text == "") or Decimal(text) == Decimal(repr(value))


@both
def test_a_second_export_writes_nothing(tmp_path, target, form):
    days = {f"2024-0{month}-1{day}": cells("x") for month in (1, 2) for day in (1, 2)}
    store = make_dataset(tmp_path / "data", days)
    first = export(store, target, form)
    assert (first.written, first.unchanged, first.rows) == (2, 0, 4)
    before = state_of(target, form)
    again = export(store, target, form)
    assert (again.written, again.unchanged, again.rows) == (0, 2, 0)
    assert state_of(target, form) == before


@both
@pytest.mark.parametrize(("partition", "written"), [("month", 2), ("date", 1)])
def test_only_the_partition_of_a_changed_day_is_written(tmp_path, target, form, partition, written):
    days = {"2024-01-11": cells("a"), "2024-02-11": cells("b"), "2024-02-12": cells("c", "c")}
    store = make_dataset(tmp_path / "data", days)
    export(store, target, form, partition)
    store = make_dataset(tmp_path / "data", {"2024-02-12": cells("d")})
    done = export(store, target, form, partition)
    assert (done.written, done.rows) == (1, written)
    assert [row["note"] for row in rows_in(target, form)] == ["a", "b", "d"]


@both
def test_a_forgotten_day_leaves_the_export_and_the_same_day_comes_back(tmp_path, target, form):
    days = {"2024-01-11": cells("a"), "2024-02-11": cells("b")}
    store = make_dataset(tmp_path / "data", days)
    export(store, target, form)
    store.forget(date(2024, 2, 11), date(2024, 2, 11))
    assert export(store, target, form).removed == 1
    assert [row["note"] for row in rows_in(target, form)] == ["a"]
    assert export(store, target, form).removed == 0
    store = make_dataset(tmp_path / "data", {"2024-02-11": cells("b")})
    assert export(store, target, form).written == 1
    assert [row["note"] for row in rows_in(target, form)] == ["a", "b"]


@both
def test_days_without_rows_are_up_to_date_too(tmp_path, target, form):
    store = make_dataset(tmp_path / "data", {"2024-01-11": cells("a"), "2024-02-11": []})
    assert export(store, target, form).written == 2
    assert export(store, target, form).written == 0
    store = make_dataset(tmp_path / "data", {"2024-01-11": []})
    assert export(store, target, form).written == 1
    assert rows_in(target, form) == []
    assert export(store, target, form).written == 0


@both
def test_a_dataset_without_any_column_exports_nothing(tmp_path, target, form):
    store = make_dataset(tmp_path / "data", {"2024-01-11": []})
    done = export(store, target, form)
    assert (done.written, done.unchanged, done.removed) == (0, 0, 0)


@both
def test_a_day_without_a_header_has_no_rows(tmp_path, target, form):
    store = make_dataset(tmp_path / "data", {"2024-01-11": []})
    store.commit(store.staging().write(date(2024, 1, 12), cells("a")))
    assert store.day_path(date(2024, 1, 11)).read_bytes() == b""
    assert export(store, target, form).written == 1
    assert [row["note"] for row in rows_in(target, form)] == ["a"]


@both
def test_a_type_stays_while_it_fits_and_then_all_is_written_again(tmp_path, target, form):
    make_dataset(tmp_path / "data", {"2024-01-11": cells(1), "2024-02-11": cells("")})
    store = make_dataset(tmp_path / "data", {"2024-03-11": cells(2)})
    export(store, target, form)
    store = make_dataset(tmp_path / "data", {"2024-03-12": cells(3)})
    assert export(store, target, form).written == 1
    assert table_in(target, form).schema.field("note").type == pa.int64()
    store = make_dataset(tmp_path / "data", {"2024-03-13": cells("4.5")})
    assert export(store, target, form).written == 3
    notes = table_in(target, form).column("note")
    assert notes.type == pa.float64()
    assert sorted(notes.drop_null().to_pylist()) == [1, 2, 3, 4.5]
    store = make_dataset(tmp_path / "data", {"2024-03-14": cells("n/a")})
    assert export(store, target, form).written == 3
    assert sorted(table_in(target, form).column("note").drop_null().to_pylist()) == [
        "1", "2", "3", "4.5", "n/a",
    ]  # fmt: skip
    store.forget(date(2024, 3, 13), date(2024, 3, 14))
    assert export(store, target, form).written == 1
    assert table_in(target, form).schema.field("note").type == pa.string()


@both
def test_types_that_were_recorded_later_are_used(tmp_path, target, form):
    batch = google_batch()
    untyped = Batch(batch.names, batch.columns)
    store = make_dataset(tmp_path / "data", {"2024-02-29": [untyped]})
    export(store, target, form)
    assert table_in(target, form).schema.field("metrics.cost").type == pa.string()
    march = {"segments.date": ["2024-03-01"] * 2}
    store = make_dataset(tmp_path / "data", {"2024-03-01": [google_batch(**march)]})
    assert export(store, target, form).written == 2
    assert table_in(target, form).schema.field("metrics.cost").type == pa.decimal128(19, 6)
    assert len(rows_in(target, form)) == 4


@both
def test_a_cell_of_another_type_fails_the_export_and_leaves_the_old_one(tmp_path, target, form):
    store = make_dataset(tmp_path / "data", {"2024-02-29": [google_batch()]})
    export(store, target, form)
    before, rows = state_of(target, form), rows_in(target, form)
    odd = google_batch(**{"metrics.cost_micros": ["1", "many"]})
    store = make_dataset(tmp_path / "data", {"2024-02-29": [odd]})
    with pytest.raises(StoreError, match=r"metrics\.cost_micros is recorded as int64"):
        export(store, target, form)
    assert state_of(target, form) == before
    assert rows_in(target, form) == rows
    assert not list(target.rglob("*.part"))
    store = make_dataset(tmp_path / "data", {"2024-02-29": [google_batch()]})
    assert export(store, target, form).written == 0


@pytest.mark.parametrize("damage", [b"", b"PAR1", None])
def test_a_damaged_or_deleted_file_is_written_again(tmp_path, target, damage):
    days = {"2024-01-11": cells("a"), "2024-02-11": cells("b")}
    store = make_dataset(tmp_path / "data", days)
    export(store, target, "parquet")
    path = target / "partition_month=2024-01/rows.parquet"
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    assert export(store, target, "parquet").written == 1
    assert [row["note"] for row in rows_in(target, "parquet")] == ["a", "b"]


def test_a_damaged_table_is_named(tmp_path, target):
    store = make_dataset(tmp_path / "data", {"2024-01-11": cells("a")})
    export(store, target, "delta")
    for path in (target / "_delta_log").glob("*.json"):
        path.write_text("nonsense")
    with pytest.raises(StoreError, match="cannot use the Delta table"):
        export(store, target, "delta")


@both
def test_a_folder_that_cannot_be_made_is_named(tmp_path, target, form):
    target.write_text("a file")
    store = make_dataset(tmp_path / "data", {"2024-01-11": cells("a")})
    with pytest.raises(StoreError, match="lake"):
        export(store, target, form)
    assert target.read_text() == "a file"


def test_what_a_killed_export_left_is_removed(tmp_path, target):
    leftover = target / "partition_month=2024-01" / ".rows.parquet.0123456789ab.part"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half a file")
    export(make_dataset(tmp_path / "data", {"2024-01-11": cells("a")}), target, "parquet")
    assert not leftover.exists()


def test_many_rows_make_few_row_groups(tmp_path, target):
    days = {"2024-01-11": [{"note": "x" * 10, "number": n} for n in range(12_000)]}
    export(make_dataset(tmp_path / "data", days), target, "parquet")
    footer = ParquetTarget(target, "partition_month")._footer("2024-01")
    assert (footer.num_rows, footer.num_row_groups) == (12_000, 1)


@both
def test_a_column_that_old_days_do_not_have_is_null(tmp_path, target, form):
    make_dataset(tmp_path / "data", {"2024-01-11": cells("a")})
    store = make_dataset(tmp_path / "data", {}, columns=("date", "note", "clicks"))
    store.commit(store.staging().write(date(2024, 1, 12), [{"note": "b", "clicks": 5}]))
    export(store, target, form)
    assert [(r["note"], r["clicks"]) for r in rows_in(target, form)] == [("a", None), ("b", 5)]


def test_a_file_with_other_columns_or_no_csv_is_named(tmp_path, target):
    store = make_dataset(tmp_path / "data", {"2024-01-11": cells("a")})
    day = date(2024, 1, 11)
    path = store.day_path(day)
    for content, words in ((b"date,other\n", "other columns"), (b"date,note\n1\n", "damaged")):
        path.write_bytes(content)
        store.entries[day] = replace(store.entries[day], sha256=sha256_of(path))
        with pytest.raises(StoreError, match=words):
            export(store, target, "parquet")


@both
def test_a_file_that_was_edited_unnoticed_is_not_exported(tmp_path, target, form):
    store = make_dataset(tmp_path / "data", {"2024-01-11": cells("a")})
    path = store.day_path(date(2024, 1, 11))
    path.write_bytes(path.read_bytes().replace(b"a\n", b"b\n"))
    with pytest.raises(StoreError, match="is not as it was fetched: run adsfetch verify"):
        export(store, target, form)
    with pytest.raises(StoreError, match="is not as it was fetched"):
        Groups(store, ["month"])


def test_names_that_an_export_cannot_have_are_refused(tmp_path, target):
    store = make_dataset(tmp_path / "data", {"2024-01-11": cells("a", column="Cost (EUR)")})
    with pytest.raises(UsageError, match="use --to parquet"):
        export(store, target, "delta")
    assert export(store, target, "parquet").written == 1
    odd = make_dataset(tmp_path / "odd", {"2024-01-11": cells("a", column="partition_month")})
    with pytest.raises(UsageError, match="partition_month"):
        export(odd, tmp_path / "other", "parquet")


@both
def test_a_folder_may_have_an_odd_name(tmp_path, form):
    store = make_dataset(tmp_path / "data", {"2024-01-11": cells("a")})
    odd = tmp_path / "é & 50% #1 a=b?*'\""
    assert export(store, odd, form).written == 1
    assert export(store, odd, form).written == 0
    assert [row["note"] for row in rows_in(odd, form)] == ["a"]


@pytest.mark.parametrize("name", ["la%20ke", "[lake]", "a\\b", "a^b", "a|b", "a\nb"])
def test_a_folder_that_the_library_of_delta_cannot_read_is_refused(tmp_path, name):
    store = make_dataset(tmp_path / "data", {"2024-01-11": cells("a")})
    with pytest.raises(UsageError, match="no Delta table can be in"):
        export(store, tmp_path / name, "delta")
    assert not (tmp_path / name).exists()
    assert export(store, tmp_path / name, "parquet").written == 1
    assert export(store, tmp_path / name, "parquet").written == 0


def test_a_table_that_is_partitioned_otherwise_is_not_overwritten(tmp_path, target):
    store = make_dataset(tmp_path / "data", {"2024-01-11": cells("a")})
    export(store, target, "delta", "date")
    with pytest.raises(UsageError, match="is partitioned by"):
        export(store, target, "delta", "month")
