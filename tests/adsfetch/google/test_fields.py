"""The conversion of fields to text, from the client's messages and from projected ones."""

import json

import pytest

from adsfetch import QueryError
from adsfetch.google.fields import Fields, exact_amount

gapic_adapter = pytest.importorskip("adsfetch.google.gapic_adapter")


def cells(row, *paths):
    """Return the cells of a row, which are the same if only the selected fields are unpacked."""
    fields = Fields(row.DESCRIPTOR, paths)
    batch = fields.batch([row])
    projection = gapic_adapter.project_message(row.DESCRIPTOR, fields.attribute_paths)
    assert fields.batch([projection.FromString(row.SerializeToString())]) == batch
    return dict(zip(batch.names, [column[0] for column in batch.columns], strict=True))


def test_a_field_called_type_is_found_by_its_name_in_gaql(row):
    row.ad_group.type_ = 2
    assert cells(row, "ad_group.type") == {"ad_group.type": "SEARCH_STANDARD"}


def test_lists_are_json_and_unknown_enums_stay_numbers(row):
    row.metrics.interaction_event_types.extend([2, 99, 3])
    row.campaign.status = 99
    assert cells(row, "metrics.interaction_event_types", "campaign.status") == {
        "metrics.interaction_event_types": '["CLICK", "99", "ENGAGEMENT"]',
        "campaign.status": "99",
    }


def test_every_list_can_be_taken_apart_again(row):
    urls = ["https://a.example/?x=1;y=2", 'b"c', "[d]", "", "é"]
    row.ad_group_ad.ad.final_urls.extend(urls)
    for text in ("one; two", "{three}"):
        row.ad_group_ad.ad.responsive_search_ad.headlines.add().text = text
    row.user_list.id = 9_007_199_254_740_993
    found = cells(
        row,
        "ad_group_ad.ad.final_urls",
        "ad_group_ad.ad.responsive_search_ad.headlines",
        "ad_group_ad.ad.final_mobile_urls",
    )
    parsed = [json.loads(cell) for cell in found.values()]
    assert parsed[0] == urls
    assert [headline["text"] for headline in parsed[1]] == ["one; two", "{three}"]
    assert parsed[2] == []


def test_bytes_are_base64_as_in_the_json_of_protobuf(row):
    row.asset.image_asset.data = b"\x00\xff"
    assert cells(row, "asset.image_asset.data") == {"asset.image_asset.data": "AP8="}


def test_zero_is_not_blank(row):
    row.metrics.clicks = 0
    assert cells(row, "metrics.clicks", "metrics.search_impression_share") == {
        "metrics.clicks": "0",
        "metrics.search_impression_share": "",
    }


def test_a_whole_message_is_one_cell(row):
    headline = row.ad_group_ad.ad.responsive_search_ad.headlines.add()
    headline.text = "Books"
    assert "Books" in cells(row, "ad_group_ad.ad.responsive_search_ad.headlines").popitem()[1]


def test_a_message_and_a_field_in_it_may_both_be_selected(row):
    row.campaign.network_settings.target_google_search = True
    both = ("campaign.network_settings", "campaign.network_settings.target_google_search")
    whole, inside = cells(row, *both).values()
    assert "target_google_search" in whole
    assert inside == "True"


def test_text_that_is_empty_or_omitted_is_blank(row):
    row.campaign.final_url_suffix = ""
    assert cells(row, "campaign.name", "campaign.final_url_suffix") == {
        "campaign.name": "",
        "campaign.final_url_suffix": "",
    }


def test_fractions_of_micros_keep_their_digits(row):
    row.metrics.hotel_average_lead_value_micros = 1234567.25
    cell = cells(row, "metrics.hotel_average_lead_value_micros")
    assert cell["metrics.hotel_average_lead_value"] == "1.23456725"


def test_an_unknown_field_is_an_error(row):
    with pytest.raises(QueryError, match=r"campaign\.nope"):
        Fields(row.DESCRIPTOR, ["campaign.nope"])


@pytest.mark.parametrize(
    ("micros", "amount"),
    [(0, "0.000000"), (1, "0.000001"), (-1_500_000, "-1.500000")],
)
def test_amounts_are_exact(micros, amount):
    assert exact_amount(micros) == amount


@pytest.mark.parametrize(
    ("path", "types"),
    [
        ("segments.date", ["date"]),
        ("campaign.id", ["int64"]),
        ("campaign.name", ["string"]),
        ("campaign.status", ["enum"]),
        ("metrics.ctr", ["double"]),
        ("metrics.cost_micros", ["int64", "decimal"]),
        ("metrics.hotel_average_lead_value_micros", ["double", "double"]),
        ("metrics.interaction_event_types", ["json"]),
        ("campaign.network_settings", ["json"]),
        ("customer.auto_tagging_enabled", ["bool"]),
        ("asset.image_asset.data", ["string"]),
    ],
)
def test_each_column_has_the_type_of_its_field(row, path, types):
    batch = Fields(row.DESCRIPTOR, [path]).batch([row])
    assert [batch.types[name] for name in batch.names] == types
