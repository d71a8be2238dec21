"""What the real client brings home, as people read it."""

import csv
import subprocess
import sys

import pytest
from adsserver.token_proxy import token_proxy

from adsfetch import QueryError
from adsfetch.google.fields import Fields, exact_amount
from adsfetch.google.gapic_adapter import project_message

google_ads = pytest.importorskip("google.ads.googleads.client")


def test_ids_enums_money_and_text_are_as_people_read_them(google, ads, tmp_path):
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


def test_the_login_customer_goes_with_every_call(google, ads):
    google("fetch", "2024-01-01", "2024-01-02", "--login-customer-id", "999-888-7777")
    assert ads.log()["headers"][0]["login-customer-id"] == "9998887777"


def test_ones_own_query_makes_a_dataset_of_its_own(google, ads, tmp_path):
    (tmp_path / "clicks.gaql").write_text("SELECT campaign.id, metrics.clicks FROM campaign")
    answer = google("fetch", "2024-01-01", "2024-01-02", "--query", "clicks.gaql")
    assert answer.json["dataset"] == "1234567890-clicks"
    aggregate = (tmp_path / "data/1234567890-clicks/all.csv").read_text().splitlines()
    assert aggregate[:2] == [
        "segments.date,campaign.id,metrics.clicks",
        "2024-01-01,9007199254740993,7",
    ]


def test_another_query_into_the_same_folder_is_refused_before_any_call(google, ads, tmp_path):
    (tmp_path / "q.gaql").write_text("SELECT campaign.id FROM campaign")
    google("fetch", "2024-01-01", "2024-01-02", "--query", "q.gaql")
    (tmp_path / "q.gaql").write_text("SELECT campaign.name FROM campaign")
    ads.behave()
    answer = google("fetch", "2024-01-01", "2024-01-02", "--query", "q.gaql")
    assert answer.code == 2
    assert "choose another name with --dataset" in answer.err
    assert ads.log()["headers"] == []


def test_a_field_that_the_api_does_not_have_is_named_before_any_day_is_asked(google, ads, tmp_path):
    (tmp_path / "q.gaql").write_text("SELECT campaign.nmae FROM campaign")
    answer = google("fetch", "2024-01-01", "2024-01-02", "--query", "q.gaql")
    assert answer.code == 2
    assert "campaign.nmae" in answer.out + answer.err
    assert ads.log()["days"] == []


def test_days_older_than_37_months_are_a_slip_unless_they_are_held(google, ads):
    older = ("fetch", "2021-01-30", "2021-02-02")
    answer = google(*older, "--today", "2024-03-01")
    assert answer.code == 2
    assert "for days before 2021-02-01" in answer.err
    assert google(*older, "--today", "2021-12-01").code == 0
    ads.behave()
    assert google(*older, "--today", "2024-03-01").code == 0
    assert ads.log()["days"] == []


def test_a_gap_that_can_no_longer_be_filled_does_not_fail_the_daily_run(google, ads, tmp_path):
    google("fetch", "2021-01-30", "2021-02-02", "--today", "2021-12-01")
    (tmp_path / "data/1234567890-campaign/days/2021-01-30.csv").unlink()
    (tmp_path / "data/1234567890-campaign/days/2021-02-01.csv").unlink()
    ads.behave()
    answer = google("update", "--today", "2024-03-01")
    assert answer.code == 0
    assert "1 missing days before 2021-02-01" in answer.err
    assert min(ads.log()["days"]) == "2021-02-01"


def test_the_version_of_the_api_is_said(google, ads):
    assert google("fetch", "2024-01-01", "2024-01-02").json["source"].endswith(", API v26")


def test_a_version_that_the_library_does_not_know_is_a_slip(google, ads):
    answer = google("fetch", "2024-01-01", "2024-01-02", "--api-version", "v1")
    assert answer.code == 2
    assert "v1" in answer.err


OWN_METHOD = """
import sys, yaml
from google.ads.googleads.client import GoogleAdsClient
settings = {**yaml.safe_load(open(sys.argv[1])), "use_proto_plus": False}
service = GoogleAdsClient.load_from_dict(settings).get_service("GoogleAdsService")
list(service.search_stream(customer_id="1234567890", query="segments.date = '2024-01-01'"))
"""


def test_a_call_has_the_headers_of_the_clients_own_method(google, ads):
    google("fetch", "2024-01-01", "2024-01-01")
    ours = ads.log()["headers"][0]
    words = [sys.executable, "-c", OWN_METHOD, str(ads.config)]
    subprocess.run(words, env=ads.environment, check=True, timeout=60)
    assert ours == {**ads.log()["headers"][0], "authorization": ours["authorization"]}
    assert "x-goog-request-params" in ours


@pytest.fixture(params=["v23", "v26"])
def row(request):
    client = google_ads.GoogleAdsClient(None, version=request.param)
    return client.get_type("GoogleAdsRow")


def cells(row, *paths):
    """Return the cells of a row, which are the same if only the selected fields are unpacked."""
    fields = Fields(row.DESCRIPTOR, paths)
    batch = fields.batch([row])
    narrow = project_message(row.DESCRIPTOR, fields.attribute_paths)
    assert fields.batch([narrow.FromString(row.SerializeToString())]) == batch
    return dict(zip(batch.names, [column[0] for column in batch.columns], strict=True))


def test_a_field_called_type_is_found_by_its_name_in_gaql(row):
    row.ad_group.type_ = 2
    assert cells(row, "ad_group.type") == {"ad_group.type": "SEARCH_STANDARD"}


def test_lists_are_joined_and_unknown_enums_stay_numbers(row):
    row.metrics.interaction_event_types.extend([2, 3])
    row.campaign.status = 99
    assert cells(row, "metrics.interaction_event_types", "campaign.status") == {
        "metrics.interaction_event_types": "CLICK;ENGAGEMENT",
        "campaign.status": "99",
    }


def test_zero_is_not_nothing(row):
    row.metrics.clicks = 0
    assert cells(row, "metrics.clicks", "metrics.search_impression_share") == {
        "metrics.clicks": "0",
        "metrics.search_impression_share": "",
    }


def test_a_whole_message_is_one_cell(row):
    headline = row.ad_group_ad.ad.responsive_search_ad.headlines.add()
    headline.text = "Books"
    assert "Books" in cells(row, "ad_group_ad.ad.responsive_search_ad.headlines").popitem()[1]


def test_what_was_not_selected_is_not_unpacked(row):
    narrow = project_message(row.DESCRIPTOR, ["campaign.id", "campaign.name", "metrics.clicks"])
    assert set(narrow.DESCRIPTOR.fields_by_name) == {"campaign", "metrics"}
    assert set(narrow().campaign.DESCRIPTOR.fields_by_name) == {"id", "name"}
    again = project_message(row.DESCRIPTOR, ["metrics.clicks", "campaign.name", "campaign.id"])
    assert again.DESCRIPTOR.full_name == narrow.DESCRIPTOR.full_name


def test_a_message_and_a_field_in_it_may_both_be_selected(row):
    row.campaign.network_settings.target_google_search = True
    both = ("campaign.network_settings", "campaign.network_settings.target_google_search")
    whole, inside = cells(row, *both).values()
    assert "target_google_search" in whole
    assert inside == "True"


def test_text_that_may_be_left_out_is_blank_or_itself(row):
    row.campaign.final_url_suffix = ""
    assert cells(row, "campaign.name", "campaign.final_url_suffix") == {
        "campaign.name": "",
        "campaign.final_url_suffix": "",
    }


def test_fractions_of_micros_keep_their_digits(row):
    row.metrics.hotel_average_lead_value_micros = 1234567.25
    cell = cells(row, "metrics.hotel_average_lead_value_micros")
    assert cell["metrics.hotel_average_lead_value"] == "1.23456725"


def test_a_field_that_is_not_there_is_an_error(row):
    with pytest.raises(QueryError, match=r"campaign\.nope"):
        Fields(row.DESCRIPTOR, ["campaign.nope"])


@pytest.mark.parametrize(
    ("micros", "amount"),
    [(0, "0.000000"), (1, "0.000001"), (-1_500_000, "-1.500000")],
)
def test_money_is_exact(micros, amount):
    assert exact_amount(micros) == amount


def test_a_refresh_token_works_like_a_service_account(run, ads, tmp_path):
    endpoint = next(line for line in ads.config.read_text().splitlines() if "endpoint" in line)
    secrets = {"client_id": "an-id", "client_secret": "a-secret", "refresh_token": "a-grant"}
    lines = [endpoint, "developer_token: x", *(f"{k}: {v}" for k, v in secrets.items())]
    (tmp_path / "mine.yaml").write_text("\n".join(lines))
    (tmp_path / "proxy").mkdir()
    with token_proxy(tmp_path / "proxy") as (environment, asked):
        words = ["--customer-id", "1234567890", "--config", "mine.yaml", "--out", "data"]
        both = {**ads.environment, **environment}
        answer = run("fetch", "2024-01-01", "2024-01-02", *words, env=both)
    assert answer.code == 0, answer.err
    assert len(asked) == 1
    assert "refresh_token=a-grant" in asked[0]
    assert ads.log()["headers"][0]["authorization"] == "Bearer from-the-proxy"
