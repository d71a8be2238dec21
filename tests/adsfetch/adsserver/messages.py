"""Responses of the API, in the protobuf classes of the google-ads package."""

from functools import cache
from typing import Any

from google.ads.googleads.v26.enums.types.campaign_status import CampaignStatusEnum
from google.ads.googleads.v26.enums.types.customer_status import CustomerStatusEnum
from google.ads.googleads.v26.enums.types.device import DeviceEnum
from google.ads.googleads.v26.errors.types.errors import GoogleAdsFailure
from google.ads.googleads.v26.services.types.google_ads_service import (
    SearchGoogleAdsStreamRequest,
    SearchGoogleAdsStreamResponse,
)

VERSION = "v26"
METHOD = f"/google.ads.googleads.{VERSION}.services.GoogleAdsService/SearchStream"
FAILURE = f"google.ads.googleads.{VERSION}.errors.googleadsfailure-bin"
ANY_DAY = "0000-00-00"

Request = SearchGoogleAdsStreamRequest.pb()
Response = SearchGoogleAdsStreamResponse.pb()
Failure = GoogleAdsFailure.pb()


@cache
def rows_of_any_day(start: int, stop: int, clicks: int) -> bytes:
    """Return a batch of rows, encoded once; every day has the same number of bytes."""
    batch = Response()
    for number in range(start, stop):
        row = batch.results.add()
        row.segments.date = ANY_DAY
        row.segments.device = DeviceEnum.Device.MOBILE
        row.customer.id = 1234567890
        row.customer.descriptive_name = "Bücher & Söhne"
        row.customer.currency_code = "EUR"
        row.campaign.id = 9_007_199_254_740_993 + number
        row.campaign.name = f'Line one\nline "two", 🎈 {number}'
        row.campaign.status = CampaignStatusEnum.CampaignStatus.ENABLED
        row.metrics.impressions = 1000 + number
        row.metrics.clicks = clicks
        row.metrics.cost_micros = 36_150_000 + number
        row.metrics.conversions = 1.5
    return bytes(batch.SerializeToString())


def rows_of(day: str, start: int, stop: int, clicks: int) -> bytes:
    """Return a batch of rows of one day."""
    return rows_of_any_day(start, stop, clicks).replace(ANY_DAY.encode(), day.encode())


def account(time_zone: str) -> bytes:
    """Return the row with the account's time zone."""
    batch = Response()
    batch.results.add().customer.time_zone = time_zone
    return bytes(batch.SerializeToString())


def clients(accounts: list[dict[str, Any]]) -> bytes:
    """Return the rows of the clients of a manager account."""
    batch = Response()
    for each in accounts:
        client = batch.results.add().customer_client
        client.id, client.descriptive_name = int(each["id"]), each.get("name", "Größe & Co")
        status = each.get("status", "ENABLED")
        client.status = CustomerStatusEnum.CustomerStatus[status]
        client.test_account = each.get("test", False)
        client.time_zone = each.get("time_zone", "Europe/Berlin")
    return bytes(batch.SerializeToString())


def failure(
    kind: str, code: str, retry_delay: float | None = None, scope: str | None = None
) -> bytes:
    """Return the details of a refusal, such as ``quota_error`` with ``RESOURCE_EXHAUSTED``.

    ``scope`` says whether a limit of calls is that of an ACCOUNT or of a DEVELOPER.
    """
    whole = Failure()
    error = whole.errors.add()
    error.message = f"raised by the local server ({code})"
    field = error.error_code.DESCRIPTOR.fields_by_name[kind]
    setattr(error.error_code, kind, field.enum_type.values_by_name[code].number)
    if retry_delay is not None:
        error.details.quota_error_details.retry_delay.FromMilliseconds(int(retry_delay * 1000))
    if scope is not None:
        quota = error.details.quota_error_details
        quota.rate_scope = quota.QuotaRateScope.Value(scope)
    return bytes(whole.SerializeToString())
