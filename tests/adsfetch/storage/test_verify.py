"""Files that were truncated, edited, deleted or copied."""

import os


def test_verify_finds_truncated_edited_and_deleted_files_and_no_others(shop, fetch, run):
    fetch("fetch", "2024-01-01", "2024-01-06")
    days = shop.data / "days"
    cut, edited, deleted = (days / f"2024-01-0{number}.csv" for number in (1, 2, 3))
    cut.write_bytes(cut.read_bytes()[:-3])
    edited.write_bytes(edited.read_bytes().replace(b",1,", b",2,"))
    deleted.unlink()
    result = run("verify", "--out", "data", "--json")
    assert result.code == 1
    assert result.json["damaged"] == {
        "2024-01-01": "its file was truncated or edited",
        "2024-01-02": "its file was truncated or edited",
        "2024-01-03": "its file was deleted",
    }
    shop.configure()
    assert fetch("fetch", "2024-01-01", "2024-01-06").code == 0
    assert sorted(shop.calls) == ["2024-01-01", "2024-01-02", "2024-01-03"]
    assert run("verify", "--out", "data").code == 0


def test_verify_reads_files_whose_size_and_time_are_unchanged(shop, fetch, run):
    fetch("fetch", "2024-01-01", "2024-01-02")
    file = shop.data / "days/2024-01-01.csv"
    stat = file.stat()
    file.write_bytes(file.read_bytes().replace(b",1,", b",2,"))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert run("missing", "--out", "data", "--json").json["missing"] == []
    assert list(run("verify", "--out", "data", "--json").json["damaged"]) == ["2024-01-01"]


def test_a_copied_dataset_is_intact(shop, fetch):
    fetch("fetch", "2024-01-01", "2024-01-03")
    for file in (shop.data / "days").iterdir():
        file.touch()
    shop.configure()
    assert fetch("fetch", "2024-01-01", "2024-01-03").code == 0
    assert shop.calls == []


def test_a_file_whose_name_is_not_that_of_a_day_is_ignored(shop, fetch, run):
    fetch("fetch", "2024-01-01", "2024-01-02")
    for name in ("2024-W09-2.csv", "2024-01-03.csv.bak", "notes.csv"):
        (shop.data / "days" / name).write_text("date,clicks,note\n2024-02-27,1,x\n")
    result = run("verify", "--out", "data", "--json")
    assert result.code == 0, result.err
    assert result.json["days"] == 2


def test_all_datasets_are_verified_unless_one_is_named(shop, fetch, run):
    for name in ("one", "other"):
        fetch("fetch", "2024-01-01", "2024-01-02", "--dataset", name)
    (shop.folder / "data/other/days/2024-01-02.csv").unlink()
    result = run("verify", "--out", "data", "--json")
    assert result.code == 1
    assert [list(each["damaged"]) for each in result.json["datasets"]] == [[], ["2024-01-02"]]
    assert run("verify", "--out", "data", "--dataset", "one").code == 0
