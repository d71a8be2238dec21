"""The internals of the Google client: they exist, and fetching works without them."""

import subprocess
import sys
from pkgutil import resolve_name
from types import SimpleNamespace

import pytest

from tests.adsfetch.google.datasets import FETCH
from tests.waiting import PATIENCE

gapic_adapter = pytest.importorskip("adsfetch.google.gapic_adapter")
google_ads = pytest.importorskip("google.ads.googleads.client")

OWN_METHOD = """
import sys, yaml
from google.ads.googleads.client import GoogleAdsClient
settings = {**yaml.safe_load(open(sys.argv[1])), "use_proto_plus": False}
service = GoogleAdsClient.load_from_dict(settings).get_service("GoogleAdsService")
list(service.search_stream(customer_id="1234567890", query="segments.date = '2024-01-01'"))
"""


@pytest.mark.parametrize("name", gapic_adapter.PRIVATE_NAMES)
def test_the_installed_library_has_each_private_name(name):
    try:
        resolve_name(name)
    except (ImportError, AttributeError):
        pytest.fail(f"google-api-core no longer has {name}: see adsfetch/google/gapic_adapter.py")


@pytest.mark.parametrize("version", ["v23", "v26"])
def test_the_version_of_a_service_is_known(version):
    module = f"google.ads.googleads.{version}.services.services.google_ads_service"
    service = resolve_name(f"{module}:GoogleAdsServiceClient")
    assert gapic_adapter.api_version(object.__new__(service)) == version


@pytest.mark.parametrize("constant", ["CLIENT_INFO", "ROUTING_HEADER", "WRAP_METHOD"])
def test_without_a_private_name_the_clients_own_method_is_called(monkeypatch, caplog, constant):
    missing = f"{getattr(gapic_adapter, constant)}_of_another_version"
    monkeypatch.setattr(gapic_adapter, constant, missing)
    calls = []
    channel = SimpleNamespace(grpc_channel=None)
    service = SimpleNamespace(
        search_stream=lambda **arguments: calls.append(arguments), transport=channel
    )
    client = google_ads.GoogleAdsClient(None, version="v26", use_proto_plus=False)
    gapic_adapter.search_stream(client, service)(["campaign.id"])("1234567890", "a query", 5.0)
    assert calls == [
        {"customer_id": "1234567890", "query": "a query", "timeout": 5.0, "retry": None}
    ]
    assert missing.rpartition(".")[2] in caplog.text


WITHOUT_NAMES = """
from adsfetch.cli import main
from adsfetch.google import gapic_adapter
gapic_adapter.WRAP_METHOD += "_of_another_version"
main()
"""


def test_without_a_private_name_a_run_fetches_the_same_rows(google, ads, tmp_path):
    assert google(*FETCH).code == 0
    arguments = [*FETCH, "--out", "again", "--config", str(ads.config)]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NAMES, *arguments, "--customer-id", "1234567890"],
        cwd=tmp_path,
        env=ads.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("lacks an internal name") == 1
    first, second = (
        (tmp_path / out / "1234567890-campaign/all.csv").read_text() for out in ("data", "again")
    )
    assert first == second


def test_a_call_has_the_headers_of_the_clients_own_method(google, ads):
    google("fetch", "2024-01-01", "2024-01-01")
    ours = ads.log()["headers"][0]
    arguments = [sys.executable, "-c", OWN_METHOD, str(ads.config)]
    subprocess.run(arguments, env=ads.environment, check=True, timeout=PATIENCE)
    assert ours == {**ads.log()["headers"][0], "authorization": ours["authorization"]}
    assert "x-goog-request-params" in ours


def test_fields_that_are_not_selected_are_not_unpacked(row):
    projection = gapic_adapter.project_message(
        row.DESCRIPTOR, ["campaign.id", "campaign.name", "metrics.clicks"]
    )
    assert set(projection.DESCRIPTOR.fields_by_name) == {"campaign", "metrics"}
    assert set(projection().campaign.DESCRIPTOR.fields_by_name) == {"id", "name"}
    again = gapic_adapter.project_message(
        row.DESCRIPTOR, ["metrics.clicks", "campaign.name", "campaign.id"]
    )
    assert again.DESCRIPTOR.full_name == projection.DESCRIPTOR.full_name
