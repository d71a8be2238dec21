"""A disk that is full."""

import resource

from tests.waiting import PATIENCE


def test_a_full_disk_stops_the_run_and_leaves_the_old_aggregate_intact(shop, fetch):
    shop.configure(rows=200)
    fetch("fetch", "2024-01-01", "2024-01-05")
    before = (shop.data / "all.csv").read_bytes()
    limit = len(before) + 100

    def little_space():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    process = shop.start("fetch", "2024-01-01", "2024-01-09", preexec_fn=little_space)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "data/fetch_data/all.csv: File too large" in err
    assert (shop.data / "all.csv").read_bytes() == before
    assert not list(shop.data.rglob("*.part"))
    shop.configure()
    assert fetch("fetch", "2024-01-01", "2024-01-09").code == 0
    assert shop.calls == []
    assert len(shop.all()) == 1800


def test_a_disk_too_full_for_one_day_stops_the_run_without_retries(shop):
    shop.configure(rows=1000)

    def no_space():
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))

    process = shop.start("fetch", "2024-01-01", "2024-01-31", "--workers", "2", preexec_fn=no_space)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "File too large" in err
    assert "source: shop:fetch_data" in out.splitlines()
    assert len(shop.calls) <= 4
    assert not list((shop.data / "days").glob("*.csv"))
