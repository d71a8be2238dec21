"""The Google Ads source, through the command and the real client."""

import csv
from datetime import date, timedelta


def test_ids_enums_amounts_and_text_are_readable(google, ads, tmp_path):
    assert google("fetch", "2024-02-29", "2024-02-29").code == 0
    with (tmp_path / "data/1234567890-campaign/all.csv").open(newline="") as lines:
        row = next(csv.DictReader(lines))
    assert row["segments.date"] == "2024-02-29"
    assert row["campaign.id"] == "9007199254740993"
    assert row["campaign.name"] == 'Line one\nline "two", 🎈 0'
    assert row["customer.descriptive_name"] == "Bücher & Söhne"
    assert (row["campaign.status"], row["segments.device"]) == ("ENABLED", "MOBILE")
    assert (row["metrics.cost_micros"], row["metrics.cost"]) == ("36150000", "36.150000")
    assert row["metrics.conversions"] == "1.5"
    assert row["metrics.conversions_value"] == ""


def test_the_account_is_asked_for_its_time_zone_once(google, ads, run):
    ads.behave(time_zone="Pacific/Auckland")
    google("fetch", "2024-01-01", "2024-01-02")
    assert run("status", "--out", "data", "--json").json["time_zone"] == "Pacific/Auckland"
    assert ads.log()["headers"][0]["developer-token"] == "a-developer-token"


def test_the_login_customer_id_is_sent_with_every_call(google, ads):
    google("fetch", "2024-01-01", "2024-01-02", "--login-customer-id", "999-888-7777")
    assert ads.log()["headers"][0]["login-customer-id"] == "9998887777"


def test_a_query_of_ones_own_has_its_own_dataset(google, ads, tmp_path):
    (tmp_path / "clicks.gaql").write_text("SELECT campaign.id, metrics.clicks FROM campaign")
    result = google("fetch", "2024-01-01", "2024-01-02", "--query", "clicks.gaql")
    assert result.json["dataset"] == "1234567890-clicks"
    aggregate = (tmp_path / "data/1234567890-clicks/all.csv").read_text().splitlines()
    assert aggregate[:2] == [
        "segments.date,campaign.id,metrics.clicks",
        "2024-01-01,9007199254740993,7",
    ]


def test_another_query_for_the_same_dataset_is_rejected_before_any_call(google, ads, tmp_path):
    (tmp_path / "q.gaql").write_text("SELECT campaign.id FROM campaign")
    google("fetch", "2024-01-01", "2024-01-02", "--query", "q.gaql")
    (tmp_path / "q.gaql").write_text("SELECT campaign.name FROM campaign")
    ads.behave()
    result = google("fetch", "2024-01-01", "2024-01-02", "--query", "q.gaql")
    assert result.code == 2
    assert "choose another name with --dataset" in result.err
    assert ads.log()["headers"] == []


def test_an_unknown_field_is_reported_before_any_day_is_fetched(google, ads, tmp_path):
    (tmp_path / "q.gaql").write_text("SELECT campaign.nmae FROM campaign")
    result = google("fetch", "2024-01-01", "2024-01-02", "--query", "q.gaql")
    assert result.code == 2
    assert "campaign.nmae" in result.out + result.err
    assert ads.log()["days"] == []


def test_days_older_than_37_months_are_an_error_unless_they_are_stored(google, ads):
    older = ("fetch", "2021-01-30", "2021-02-02")
    result = google(*older, "--today", "2024-03-01")
    assert result.code == 2
    assert "for days before 2021-02-01" in result.err
    assert google(*older, "--today", "2021-12-01").code == 0
    ads.behave()
    assert google(*older, "--today", "2024-03-01").code == 0
    assert ads.log()["days"] == []


def test_a_gap_that_can_no_longer_be_filled_does_not_fail_the_daily_run(google, ads, tmp_path):
    google("fetch", "2021-01-30", "2021-02-02", "--today", "2021-12-01")
    days = tmp_path / "data/1234567890-campaign/days"
    rows = (days / "2021-02-02.csv").read_text()
    for number in range((date(2024, 1, 31) - date(2021, 2, 2)).days):
        day = f"{date(2021, 2, 3) + timedelta(number)}"
        (days / f"{day}.csv").write_text(rows.replace("2021-02-02", day))
    (days / "2021-01-30.csv").unlink()
    (days / "2021-02-01.csv").unlink()
    ads.behave()
    result = google("update", "--today", "2024-03-01")
    assert result.code == 0
    assert "1 missing days before 2021-02-01" in result.err
    assert min(ads.log()["days"]) == "2021-02-01"


def test_the_summary_names_the_version_of_the_api(google, ads):
    assert google("fetch", "2024-01-01", "2024-01-02").json["source"].endswith(", API v26")


def test_an_unknown_version_of_the_api_is_a_usage_error(google, ads):
    result = google("fetch", "2024-01-01", "2024-01-02", "--api-version", "v1")
    assert result.code == 2
    assert "v1" in result.err


LISTS = "SELECT campaign.id, campaign.labels FROM campaign"


def test_lists_in_two_forms_do_not_mix_into_a_dataset(google, ads, tmp_path):
    (tmp_path / "lists.gaql").write_text(LISTS)
    arguments = ("fetch", "2024-01-01", "2024-01-02", "--query", "lists.gaql")
    assert google(*arguments).code == 0
    days = tmp_path / "data/1234567890-lists/days"
    assert google("fetch", "2024-01-01", "2024-01-03", "--query", "lists.gaql").code == 0
    for day in days.iterdir():  # as an older version wrote them
        day.write_text(day.read_text().replace("[]", ""))
    for name in ("manifest.jsonl", "all.csv"):
        (days.parent / name).unlink()
    ads.behave()
    result = google("fetch", "2024-01-01", "2024-01-04", "--query", "lists.gaql")
    assert result.code == 2
    assert "joined with semicolons" in result.err
    assert ads.log()["days"] == []
    assert google("fetch", "2024-01-01", "2024-01-03", "--query", "lists.gaql").code == 0
