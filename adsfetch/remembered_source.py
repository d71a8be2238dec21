"""The source that a dataset remembers: made again from its options, in any process."""

from collections.abc import Mapping
from pathlib import Path

from adsfetch.function_source import FunctionSource
from adsfetch.google import report
from adsfetch.google.report import Access
from adsfetch.google.source import GoogleAdsSource, SharedConnection
from adsfetch.sources import Source


def remembered_source(
    options: Mapping[str, str], timeout: float, shared: dict[Access, SharedConnection]
) -> Source:
    """Return the source with these ``Source.options``; ``shared`` are its possible connections."""
    if "source" in options:
        return FunctionSource(options["source"], timeout, options.get("folder", ""))
    config = options.get("config")
    access = Access(
        options.get("login_customer_id"),
        Path(config) if config else None,
        options.get("api_version"),
    )
    connection = shared.setdefault(access, SharedConnection(access))
    query = report.parse(options["query_name"], options["query"])
    return GoogleAdsSource(options["customer_id"], query, timeout, connection)
