"""Where `status --html` writes, and where it does not."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.waiting import PATIENCE

MARCH = ("--today", "2024-03-05")
OWN = ["all.csv", "dataset.json", "manifest.jsonl", "lock", "days/2024-01-02.csv"]


@pytest.fixture
def status(fetch, run):
    """Run `status --html` on a dataset of three days."""
    fetch("fetch", "2024-01-01", "2024-01-03", *MARCH)
    return lambda path: run("status", "--out", "data", *MARCH, "--html", str(path))


def test_the_page_keeps_mode_and_link(status, shop):
    (shop.folder / "real.html").write_text("old")
    (shop.folder / "real.html").chmod(0o600)
    (shop.folder / "page.html").symlink_to("real.html")
    assert status("page.html").code == 0
    assert (shop.folder / "page.html").is_symlink()
    assert stat.S_IMODE((shop.folder / "real.html").stat().st_mode) == 0o600
    assert (shop.folder / "real.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("way", ["path", "link", "hard link", "dots"])
def test_no_file_of_the_dataset_is_replaced(status, shop, name, way):
    file = shop.data / name
    before = file.read_bytes()
    path = shop.folder / "page.html"
    if way == "link":
        path.symlink_to(file)
    elif way == "hard link" and not name.startswith("days"):
        os.link(file, path)
    else:
        path = file.parent / "../" / file.parent.name / file.name if way == "dots" else file
    result = status(path)
    assert result.code == 2
    assert "is a file of a dataset" in result.err
    assert file.read_bytes() == before


def test_no_file_of_another_dataset_is_replaced(status, shop, run):
    example = ("--source", "adsfetch.example:fetch_data", "--out", "data", "--dataset", "other")
    run("fetch", "2024-02-27", "2024-02-28", *example)
    for name in ("all.csv", "days/2024-02-27.csv"):
        file = shop.folder / "data/other" / name
        before = file.read_bytes()
        result = run("status", "--out", "data", "--dataset", "fetch_data", "--html", str(file))
        assert result.code == 2
        assert file.read_bytes() == before


def test_a_page_may_lie_in_the_folder_of_the_dataset(status, shop):
    assert status(shop.data / "calendar.html").code == 0
    assert (shop.data / "calendar.html").exists()


def test_a_device_stays_and_gets_the_page(status, shop):
    assert status("/dev/null").code == 0
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert not list(shop.folder.rglob("*.part"))
    full = status("/dev/full")
    assert full.code == 1
    assert "No space left" in full.err


def test_standard_output_gets_the_page(status, shop):
    status("page.html")
    page = (shop.folder / "page.html").read_text()
    arguments = ["status", "--out", "data", *MARCH, "--html", "/dev/stdout"]
    done = subprocess.run(
        [sys.executable, "-m", "adsfetch", *arguments],
        cwd=shop.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(page)


def test_a_pipe_stays_and_gets_the_page(status, shop):
    pipe = shop.folder / "pipe"
    os.mkfifo(pipe)
    received = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()))
    reader.start()
    assert status(pipe).code == 0
    reader.join(PATIENCE)
    assert received[0].startswith("<!doctype html>")
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_folder_is_a_usage_error(status, shop):
    (shop.folder / "folder").mkdir()
    assert status("folder").code == 2


def test_a_folder_that_does_not_exist_is_named_in_one_line(status):
    result = status("none/page.html")
    assert result.code == 1
    assert "none/page.html: No such file" in result.err
    assert "Traceback" not in result.err
