"""Files that are replaced keep what they are; files that are not as expected end with one line."""

import errno
import fcntl
import json
import os
import stat
from datetime import date
from pathlib import Path

import pytest

from adsfetch import StoreError
from adsfetch.storage.atomic import write_file
from adsfetch.storage.lock import exclusive_lock
from adsfetch.storage.states import Record
from adsfetch.storage.store import Store
from adsfetch.storage.verify import check_entry

WEEK = ("fetch", "2024-01-01", "2024-01-03")
MORE = ("fetch", "2024-01-01", "2024-01-04")
GROUP = 1234
REPLACED = ["all.csv", "dataset.json", "manifest.jsonl"]


def one_line(result, code):
    assert result.code == code, result.err
    assert "Traceback" not in result.err
    return result.err.splitlines()[-1] if result.err else result.json["stopped"]


@pytest.mark.parametrize("name", REPLACED)
def test_a_replaced_file_keeps_its_mode_and_group(shop, fetch, name):
    fetch(*WEEK)
    file = shop.data / name
    file.chmod(0o640)
    as_root = os.getuid() == 0
    if as_root:
        os.chown(file, 4321, GROUP)
    before = file.read_bytes()
    (shop.data / "days/2024-01-02.csv").unlink()  # so that the manifest is written again
    assert fetch(*MORE).code == 0
    assert file.read_bytes() != before
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    if as_root:
        assert (file.stat().st_uid, file.stat().st_gid) == (4321, GROUP)


@pytest.mark.parametrize("name", REPLACED)
@pytest.mark.parametrize("relative", [True, False])
def test_a_link_stays_and_the_file_that_it_names_is_replaced(shop, fetch, name, relative):
    fetch(*WEEK)
    elsewhere = shop.folder / "elsewhere"
    elsewhere.mkdir()
    file, real = shop.data / name, elsewhere / "the-file"
    file.rename(real)
    file.symlink_to("../../elsewhere/the-file" if relative else real)
    before = real.read_bytes()
    (elsewhere / ".the-file.0123456789ab.part").touch()  # of a run that was killed
    (shop.data / "days/2024-01-02.csv").unlink()
    assert fetch(*MORE).code == 0
    assert file.is_symlink()
    assert real.read_bytes() != before
    assert len(shop.all()) == 4
    if name == "all.csv":
        assert list(elsewhere.iterdir()) == [real]


def test_a_link_to_nowhere_leads_to_the_new_file(tmp_path):
    (tmp_path / "link").symlink_to("new")
    write_file(tmp_path / "link", b"x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "new").read_bytes() == b"x"


def test_links_in_a_circle_are_an_error_and_stay(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(StoreError, match="symbolic links"):
        write_file(tmp_path / "a", b"x")
    assert (tmp_path / "a").is_symlink()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_new_file_has_the_mode_of_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        write_file(tmp_path / "new", b"x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EIO])
def test_a_file_system_without_locks_is_an_error_in_one_line(tmp_path, monkeypatch, number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    lock = exclusive_lock(tmp_path / "lock", 0, print)
    with pytest.raises(StoreError, match=r"cannot lock .*lock: .+"), lock:
        pass


@pytest.mark.parametrize("name", ["manifest.jsonl", "dataset.json"])
@pytest.mark.parametrize("command", ["missing", "status", "verify", "aggregate"])
def test_a_folder_in_the_place_of_a_file_is_named(shop, fetch, run, name, command):
    fetch(*WEEK)
    (shop.data / name).unlink()
    (shop.data / name).mkdir()
    line = one_line(run(command, "--out", "data"), 1)
    assert f"{name}: Is a directory" in line
    assert f"{name}: Is a directory" in one_line(fetch(*WEEK), 1)


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe{\x00",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"[" * 100_000,
        b'{"columns": 5}',
        b'{"columns": "abc"}',
        b'{"columns": [5]}',
        b'{"requested": [["2024-01-01"]]}',
        b'{"requested": [["2024-01-05", "2024-01-01"]]}',
        b'{"requested": 5}',
        b'{"wanted_from": 5, "wanted_to": 6}',
        b'{"lookback": "30"}',
        b'{"aggregate": []}',
        b'{"types": ["int64"]}',
        b'{"types": {"clicks": 5}}',
        b'{"time_zone": 5}',
        b'{"days_available": "soon"}',
    ],
)
def test_a_damaged_description_is_named_with_the_cure(shop, fetch, run, content):
    fetch(*WEEK)
    file = shop.data / "dataset.json"
    file.write_bytes(content)
    for result in (run("status", "--out", "data"), fetch(*WEEK)):
        assert "dataset.json is damaged" in one_line(result, 1)
    file.unlink()
    shop.configure()
    assert fetch(*WEEK).code == 0
    assert shop.calls == []
    assert len(shop.all()) == 3


def test_a_description_of_a_newer_version_is_read(shop, fetch, run):
    fetch(*WEEK)
    file = shop.data / "dataset.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "new": 1}))
    assert run("missing", "--out", "data").out == "no day is missing\n"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-32"])
def test_a_manifest_in_another_encoding_loses_no_day(shop, fetch, run, encoding):
    fetch(*WEEK)
    file = shop.data / "manifest.jsonl"
    file.write_text(file.read_text(), encoding=encoding)
    shop.configure()
    assert fetch(*WEEK).code == 0
    assert (shop.calls, len(shop.all())) == ([], 3)


def test_a_folder_named_like_a_day_fails_only_that_day(shop, fetch, run):
    (shop.data / "days/2024-01-02.csv").mkdir(parents=True)
    result = fetch(*WEEK)
    assert result.code == 1
    assert [failure["day"] for failure in result.json["failed"]] == ["2024-01-02"]
    assert "is not a file: move it away" in result.json["failed"][0]["reason"]
    assert run("missing", "--out", "data", "--json").json["missing"] == ["2024-01-02"]
    for command in ("verify", "status", "aggregate"):
        assert run(command, "--out", "data").code == 0
    assert "2024-01-02.csv: " in one_line(
        run("forget", "2024-01-02", "2024-01-02", "--out", "data"), 1
    )
    (shop.data / "days/2024-01-02.csv").rmdir()
    assert fetch(*WEEK).code == 0


@pytest.mark.parametrize("special", ["pipe", "link"])
def test_what_is_no_file_is_no_day_and_is_not_waited_for(shop, fetch, run, special):
    fetch(*WEEK)
    file = shop.data / "days/2024-01-02.csv"
    file.unlink()
    if special == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("nowhere")
    assert run("missing", "--out", "data", "--json").json["missing"] == ["2024-01-02"]
    assert run("verify", "--out", "data").code == 1


@pytest.mark.parametrize(
    "target", ["2024-01-01.csv", "../all.csv", "2024-01-02.csv", "nowhere/2024-01-02.csv"]
)
def test_a_link_to_something_else_costs_its_day_only_and_changes_nothing_else(
    shop, fetch, run, target
):
    fetch(*WEEK)
    file = shop.data / "days/2024-01-02.csv"
    file.unlink()
    file.symlink_to(target)
    shop.configure(clicks=9)
    result = fetch(*MORE)
    assert result.code == 1
    assert [failure["day"] for failure in result.json["failed"]] == ["2024-01-02"]
    assert "is a link to something else: move it away" in result.json["failed"][0]["reason"]
    assert sorted(shop.calls) == ["2024-01-02", "2024-01-04"]
    assert [row["date"] for row in shop.all()] == ["2024-01-01", "2024-01-03", "2024-01-04"]
    assert run("verify", "--out", "data").code == 0
    file.unlink()
    assert fetch(*MORE).code == 0


def test_the_file_of_a_day_may_be_a_link_to_one_with_the_same_name(shop, fetch, run):
    fetch(*WEEK)
    file, real = shop.data / "days/2024-01-02.csv", shop.folder / "2024-01-02.csv"
    file.rename(real)
    file.symlink_to(real)
    assert run("missing", "--out", "data", "--json").json["missing"] == []
    real.write_text("")
    assert fetch(*WEEK).code == 0
    assert file.is_symlink()
    assert len(shop.all()) == 3


@pytest.mark.parametrize("name", REPLACED)
@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_in_the_place_of_a_file_is_neither_replaced_nor_waited_for(
    shop, fetch, run, name, linked
):
    fetch(*WEEK)
    file = shop.data / name
    file.unlink()
    pipe = shop.folder / "pipe" if linked else file
    os.mkfifo(pipe)
    if linked:
        file.symlink_to(pipe)
    assert f"{name}: it is a device or a pipe" in one_line(fetch(*MORE), 1)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert file.is_symlink() == linked


def test_a_file_that_nobody_may_read_can_be_read_after_it_was_replaced(tmp_path):
    (tmp_path / "file").touch(mode=0o000)
    write_file(tmp_path / "file", b"x")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o400


@pytest.mark.parametrize("place", ["data", "data/fetch_data", "data/fetch_data/days"])
def test_a_file_in_the_place_of_a_folder_is_named(shop, fetch, place):
    path = shop.folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    result = fetch(*WEEK)
    assert place in one_line(result, 2 if place == "data" else 1)
    assert path.read_text() == "mine"


def test_a_folder_in_the_place_of_the_aggregate_is_named(shop, fetch):
    (shop.data / "all.csv").mkdir(parents=True)
    result = fetch(*WEEK)
    assert result.code == 1
    assert "all.csv: Is a directory" in result.json["stopped"]
    assert not list(shop.data.rglob("*.part"))
    (shop.data / "all.csv").rmdir()
    shop.configure()
    assert fetch(*WEEK).code == 0
    assert (shop.calls, len(shop.all())) == ([], 3)


@pytest.mark.parametrize("folder", ["/proc/data", "/sys/data"])
def test_a_folder_in_which_nobody_may_write_is_named(run, folder):
    result = run(*WEEK, "--source", "adsfetch.example:fetch_data", "--out", folder)
    line = one_line(result, 1)
    assert line.startswith(f"Error: cannot write {folder}/fetch_data/lock: ")


def test_a_day_that_cannot_be_read_is_missing(shop, fetch, run):
    fetch(*WEEK)
    day = date(2024, 1, 2)
    entry = Store(shop.data).load().entries[day]
    file = Path("/proc/self/mem")  # it is there, and reading it fails for root too
    damaged = check_entry(entry, file, file.stat(), thorough=True)
    assert damaged.record is Record.DAMAGED
    assert "cannot be read" in damaged.problem
    assert check_entry(damaged, shop.data / f"days/{day}.csv", None, thorough=True) == damaged


@pytest.mark.parametrize(
    "command", [("aggregate",), ("verify",), ("forget", "2024-01-01", "2024-01-02")]
)
def test_a_folder_that_is_no_dataset_is_left_as_it_is(shop, fetch, run, command):
    folder = shop.folder / "data/mine"
    folder.mkdir(parents=True)
    (folder / "all.csv").write_text("precious\n")
    result = run(*command, "--out", "data", "--dataset", "mine")
    assert one_line(result, 2) == "Error: there is no dataset data/mine"
    assert [file.name for file in folder.iterdir()] == ["all.csv"]
    assert (folder / "all.csv").read_text() == "precious\n"
