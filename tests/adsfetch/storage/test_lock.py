"""Two runs on one dataset."""

from tests.waiting import PATIENCE


def test_of_two_runs_one_waits_and_no_day_is_fetched_twice(shop, fetch):
    shop.configure(wait=["2024-01-03"])
    first = shop.start("fetch", "2024-01-01", "2024-01-05")
    shop.wait_for_calls(5)
    impatient = fetch("fetch", "2024-01-01", "2024-01-05", "--lock-wait", "0.1")
    assert impatient.code == 1
    assert "another run still uses" in impatient.err
    second = shop.start("fetch", "2024-01-01", "2024-01-05")
    assert "waiting for it to end" in second.stderr.readline()
    (shop.folder / "go").touch()
    for process in (first, second):
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
    assert len(shop.calls) == 5
    assert len(shop.all()) == 5
