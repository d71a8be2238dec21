"""The search_stream of the Google Ads API for one selection of fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

from google.api_core.gapic_v1 import client_info, method, routing_header

from adsfetch.google.fields import Fields
from adsfetch.google.narrow import narrowed
from adsfetch.storage.csv import Batch

PATH = "/google.ads.googleads.{}.services.GoogleAdsService/SearchStream"
AT_ONCE = 250  # as many rows as stay in the caches of a processor


class Search:
    """Ask by the client's own channel, and read no more of the answers than was selected.

    So the client still adds its headers and tells its errors; but its own method unpacks an
    answer into messages that hold anything the API knows, which takes longer than all the rest.
    """

    def __init__(self, client: Any, service: Any, paths: Sequence[str]) -> None:
        answer = client.get_type("SearchGoogleAdsStreamResponse").DESCRIPTOR
        self._fields = Fields(answer.fields_by_name["results"].message_type, paths)
        self._request = type(client.get_type("SearchGoogleAdsStreamRequest"))
        call = service.transport.grpc_channel.unary_stream(
            PATH.format(client.version),
            request_serializer=self._request.SerializeToString,
            response_deserializer=narrowed(
                answer, [f"results.{place}" for place in self._fields.places]
            ).FromString,
        )
        about = client_info.ClientInfo(client_library_version=version("google-ads"))
        self._call = method.wrap_method(call, client_info=about)

    def batches(self, customer_id: str, gaql: str, timeout: float) -> Iterator[Batch]:
        """Yield the rows of a query, a few at once."""
        stream = self._call(
            self._request(customer_id=customer_id, query=gaql),
            metadata=[routing_header.to_grpc_metadata({"customer_id": customer_id})],
            timeout=timeout,
        )
        try:
            for answer in stream:
                for start in range(0, len(answer.results), AT_ONCE):
                    yield self._fields.batch(answer.results[start : start + AT_ONCE])
        finally:
            stream.cancel()
