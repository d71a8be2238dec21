"""Runs that are killed, interrupted, run out of disk, or meet each other."""

import json
import random
import resource
import signal

import pytest

DAYS = 200
RANGE = ("fetch", "2023-01-01", "2023-07-19")


def recorded(shop):
    """The days that the manifest holds at this moment."""
    manifest = shop.data / "manifest.jsonl"
    lines = manifest.read_text().splitlines(keepends=True) if manifest.exists() else []
    return {json.loads(line)["day"] for line in lines if line.endswith("\n")}


def test_killed_at_ten_random_moments_it_asks_only_for_what_was_not_done(shop, fetch):
    moments = random.Random(4)
    for _ in range(10):
        done = recorded(shop)
        shop.orders(latency=0.03)
        process = shop.start(*RANGE, "--workers", "4")
        shop.wait_for_calls(moments.randint(1, 12))
        process.kill()
        process.communicate()
        assert not done & set(shop.calls)
    done = recorded(shop)
    assert len(done) < DAYS
    shop.orders()
    assert fetch(*RANGE).code == 0
    assert not done & set(shop.calls)
    dates = [row["date"] for row in shop.all()]
    assert len(dates) == len(set(dates)) == DAYS
    assert dates == sorted(dates)
    assert not list(shop.data.rglob("*.part"))


def test_a_day_whose_entry_was_lost_between_file_and_manifest_is_not_asked_again(shop, fetch):
    fetch("fetch", "2024-01-01", "2024-01-03")
    manifest = shop.data / "manifest.jsonl"
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(lines[:-1]) + lines[-1][:30])
    shop.orders()
    answer = fetch("fetch", "2024-01-01", "2024-01-05")
    assert answer.code == 0
    assert sorted(shop.calls) == ["2024-01-04", "2024-01-05"]
    assert len(shop.all()) == 5


@pytest.mark.parametrize("lost", [["manifest.jsonl"], ["manifest.jsonl", "dataset.json"]])
def test_a_lost_manifest_is_made_again_from_the_files(shop, fetch, lost):
    shop.orders(empty=["2024-01-02"])
    fetch("fetch", "2024-01-01", "2024-01-05")
    before = shop.all()
    for name in lost:
        (shop.data / name).unlink()
    shop.orders()
    answer = fetch("fetch", "2024-01-01", "2024-01-05")
    assert answer.code == 0
    assert shop.calls == []
    assert shop.all() == before
    assert recorded(shop) == {f"2024-01-0{number}" for number in range(1, 6)}


def test_interrupted_it_ends_at_once_with_130_and_keeps_what_was_done(shop, fetch):
    shop.orders(hang=["2024-01-05", "2024-01-06"])
    process = shop.start("fetch", "2024-01-01", "2024-01-06", "--workers", "4")
    shop.wait_for_calls(6)
    while len(recorded(shop)) < 4:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=5)
    assert process.returncode == 130
    assert "stopped: interrupted" in out
    shop.orders()
    assert fetch("fetch", "2024-01-01", "2024-01-06").code == 0
    assert sorted(shop.calls) == ["2024-01-05", "2024-01-06"]
    assert len(shop.all()) == 6


def test_interrupted_amid_calls_of_the_real_client_it_ends_within_seconds(shop, ads):
    ads.behave(*({"do": "hang", "day": f"2024-01-{day:02}"} for day in range(1, 9)))
    options = ["--config", str(ads.config), "--customer-id", "1234567890"]
    shop.options = ("--out", "data", *options)
    environment = ads.environment
    process = shop.start("fetch", "2024-01-01", "2024-01-08", env=environment)
    while len(ads.log()["days"]) < 8:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=5)
    assert process.returncode == 130


def test_a_full_disk_stops_the_run_and_leaves_the_old_aggregate_whole(shop, fetch):
    shop.orders(rows=200)
    fetch("fetch", "2024-01-01", "2024-01-05")
    before = (shop.data / "all.csv").read_bytes()
    limit = len(before) + 100

    def little_space():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    process = shop.start("fetch", "2024-01-01", "2024-01-09", preexec_fn=little_space)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "cannot write data/fetch_data/all.csv: File too large" in out
    assert (shop.data / "all.csv").read_bytes() == before
    assert not list(shop.data.rglob("*.part"))
    shop.orders()
    assert fetch("fetch", "2024-01-01", "2024-01-09").code == 0
    assert shop.calls == []
    assert len(shop.all()) == 1800


def test_a_disk_too_full_for_a_day_stops_the_run_without_more_tries(shop):
    shop.orders(rows=1000)

    def no_space():
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))

    process = shop.start("fetch", "2024-01-01", "2024-01-31", "--workers", "2", preexec_fn=no_space)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "File too large" in out
    assert len(shop.calls) <= 4
    assert not list((shop.data / "days").glob("*.csv"))


def test_of_two_runs_at_once_one_waits_and_no_day_is_asked_twice(shop, fetch):
    shop.orders(wait=["2024-01-03"])
    first = shop.start("fetch", "2024-01-01", "2024-01-05")
    shop.wait_for_calls(5)
    impatient = fetch("fetch", "2024-01-01", "2024-01-05", "--lock-wait", "0.1")
    assert impatient.code == 2
    assert "another run still uses" in impatient.err
    second = shop.start("fetch", "2024-01-01", "2024-01-05")
    assert "waiting for it to end" in second.stderr.readline()
    (shop.folder / "go").touch()
    for process in (first, second):
        process.communicate(timeout=20)
        assert process.returncode == 0
    assert len(shop.calls) == 5
    assert len(shop.all()) == 5


def test_a_source_that_hangs_costs_its_day_and_the_run_still_ends(shop, fetch):
    shop.orders(hang=["2024-01-03"])
    answer = fetch("fetch", "2024-01-01", "2024-01-05", "--timeout", "0.5", timeout=10)
    assert answer.code == 1
    assert [failure["day"] for failure in answer.json["failed"]] == ["2024-01-03"]
    assert "StuckError" in answer.json["failed"][0]["reason"]
    assert shop.calls.count("2024-01-03") == 1
    assert len(shop.all()) == 4
