"""The Google Ads client on threads: it counts rows and stores nothing.

Run as ``python -m bench.peers.google_ads_client CONFIG CUSTOMER FIRST LAST WORKERS``; prints JSON.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path

import yaml
from google.ads.googleads.client import GoogleAdsClient

from adsfetch.google import report


def main() -> None:
    """Request the same days with the same query as adsfetch."""
    config, customer, first, last, workers = sys.argv[1:]
    settings = {**yaml.safe_load(Path(config).read_text()), "use_proto_plus": False}
    service = GoogleAdsClient.load_from_dict(settings).get_service("GoogleAdsService")
    query = report.load(None)

    def count_rows(gaql: str) -> int:
        stream = service.search_stream(customer_id=customer, query=gaql, timeout=60, retry=None)
        return sum(len(batch.results) for batch in stream)

    start, end = date.fromisoformat(first), date.fromisoformat(last)
    days = [start + timedelta(number) for number in range((end - start).days + 1)]
    # Connect first: adsfetch is connected before it measures.
    count_rows("SELECT customer.time_zone FROM customer LIMIT 1")
    began = time.perf_counter()
    with ThreadPoolExecutor(int(workers)) as pool:
        rows = sum(pool.map(count_rows, map(query.gaql_for, days)))
    print(json.dumps({"rows": rows, "seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
