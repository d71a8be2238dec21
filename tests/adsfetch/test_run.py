"""Runs that are killed or interrupted, or whose source hangs."""

import random
import signal

from tests.waiting import PATIENCE, wait_until

DAYS = 200
RANGE = ("fetch", "2023-01-01", "2023-07-19")


def test_after_ten_kills_only_unfinished_days_are_fetched(shop, fetch):
    moments = random.Random(4)
    for _ in range(10):
        done = shop.recorded
        shop.configure(latency=0.03, calls=18)
        process = shop.start(*RANGE, "--workers", "4")
        shop.wait_for_calls(moments.randint(1, 12))
        process.kill()
        process.communicate()
        assert not done & set(shop.calls)
    done = shop.recorded
    assert len(done) < DAYS
    shop.configure()
    assert fetch(*RANGE).code == 0
    assert not done & set(shop.calls)
    dates = [row["date"] for row in shop.all()]
    assert len(dates) == len(set(dates)) == DAYS
    assert dates == sorted(dates)
    assert not list(shop.data.rglob("*.part"))


def test_an_interrupted_run_ends_at_once_with_130_and_keeps_finished_days(shop, fetch):
    shop.configure(hang=["2024-01-05", "2024-01-06"])
    process = shop.start("fetch", "2024-01-01", "2024-01-06", "--workers", "4")
    shop.wait_for_calls(6)
    wait_until(lambda: len(shop.recorded) >= 4)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "stopped: interrupted (" in err
    shop.configure()
    assert fetch("fetch", "2024-01-01", "2024-01-06").code == 0
    assert sorted(shop.calls) == ["2024-01-05", "2024-01-06"]
    assert len(shop.all()) == 6


def test_an_interrupt_during_calls_of_the_real_client_ends_the_run(shop, ads):
    ads.behave(*({"do": "hang", "day": f"2024-01-{day:02}"} for day in range(1, 9)))
    options = ["--config", str(ads.config), "--customer-id", "1234567890"]
    shop.options = ("--out", "data", *options)
    environment = ads.environment
    days = ("2024-01-01", "2024-01-08", "--today", "2024-03-05")
    process = shop.start("fetch", *days, env=environment)
    wait_until(lambda: len(ads.log()["days"]) >= 8)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 130


def test_a_hanging_source_fails_its_day_and_the_run_ends(shop, fetch):
    shop.configure(hang=["2024-01-03"])
    result = fetch("fetch", "2024-01-01", "2024-01-05", "--timeout", "4")
    assert result.code == 1
    assert [failure["day"] for failure in result.json["failed"]] == ["2024-01-03"]
    assert "StuckError" in result.json["failed"][0]["reason"]
    assert shop.calls.count("2024-01-03") == 1
    assert len(shop.all()) == 4
