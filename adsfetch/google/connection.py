"""The connection to the Google Ads API: one channel and one token for all threads and accounts."""

import copy
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml
from google.ads.googleads.client import GoogleAdsClient

from adsfetch.errors import TokenExpiredError, UsageError
from adsfetch.google.credentials import SharedToken
from adsfetch.google.errors import translate
from adsfetch.google.fields import Fields
from adsfetch.google.gapic_adapter import api_version, search_stream
from adsfetch.google.report import Access
from adsfetch.sources import Batch

ROWS_AT_ONCE = 250  # as many as fit into the caches of a processor

# The summary reports each error once; the library would also log it once for each call.
logging.getLogger("google.ads.googleads").addHandler(logging.NullHandler())


class Connection:
    """One service object, which many threads may use at once, for queries of one account."""

    def __init__(self, client: GoogleAdsClient, customer_id: str) -> None:
        self.customer_id = customer_id
        self._token = SharedToken(client.credentials)
        client.credentials = self._token
        self._service = client.get_service("GoogleAdsService")
        self.version = api_version(self._service)
        row = client.get_type("GoogleAdsRow").DESCRIPTOR
        self._fields_of = cache(partial(Fields, row))
        self._select_fields = cache(search_stream(client, self._service))

    def for_account(self, customer_id: str) -> "Connection":
        """Return a connection for queries of another account, by the same channel."""
        other = copy.copy(self)
        other.customer_id = customer_id
        return other

    def batches(self, gaql: str, paths: tuple[str, ...], timeout: float) -> Iterator[Batch]:
        """Yield the rows of a query, which selects ``paths``, in batches.

        There is no retry here, because the day is retried. A refused token is renewed, once for
        all threads that were refused with it.
        """
        token = self._token.value
        try:
            with self._translated_errors():
                yield from self._batches(gaql, paths, timeout)
        except TokenExpiredError:
            with self._translated_errors():
                self._token.renew(token)
            raise

    def lists(self, paths: tuple[str, ...]) -> tuple[str, ...]:
        """Return which of these fields are repeated."""
        return self._fields_of(paths).lists

    def close(self) -> None:
        """Close the channel, which cancels all calls."""
        self._service.transport.close()

    def _batches(self, gaql: str, paths: tuple[str, ...], timeout: float) -> Iterator[Batch]:
        fields = self._fields_of(paths)
        open_stream = self._select_fields(fields.attribute_paths)
        stream = open_stream(self.customer_id, gaql, timeout)
        try:
            for response in stream:
                for start in range(0, len(response.results), ROWS_AT_ONCE):
                    yield fields.batch(response.results[start : start + ROWS_AT_ONCE])
        finally:
            stream.cancel()

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise translate(self._token.permanent_error or error, self.version) from error


def connect(access: Access, customer_id: str) -> Connection:
    """Read the configuration, get a first token, and open the channel."""
    path = config_path(access.config)
    try:
        config = {**read_config(path), "use_proto_plus": False}
        if access.login_customer_id:
            config["login_customer_id"] = access.login_customer_id
        client = GoogleAdsClient.load_from_dict(config, access.api_version)
        return Connection(client, customer_id)
    except OSError as error:
        searched = not access.config and isinstance(error, FileNotFoundError)
        hint = "; name your google-ads.yaml with --config" if searched else ""
        raise UsageError(f"cannot use {error.filename or path}: {error.strerror}{hint}") from error
    except (ValueError, yaml.YAMLError) as error:
        wrong: object = path
        if access.api_version and f" {access.api_version}." in str(error):
            wrong = f"--api-version {access.api_version}"
        raise UsageError(f"cannot use {wrong}: {error}") from error
    except Exception as error:
        raise translate(error, "") from error


def fields_of(paths: Sequence[str], api_version: str | None) -> Fields:
    """Return the columns that these fields become; it needs no account."""
    row = GoogleAdsClient(None, version=api_version).get_type("GoogleAdsRow").DESCRIPTOR
    return Fields(row, paths)


def config_path(given: Path | None) -> Path:
    """Return the configuration file; by default where the client library looks for it too."""
    default = os.environ.get("GOOGLE_ADS_CONFIGURATION_FILE_PATH") or "~/google-ads.yaml"
    try:
        return given or Path(default).expanduser()
    except RuntimeError:
        raise UsageError(f"there is no home folder for {default}: use --config") from None


def read_config(path: Path) -> dict[str, Any]:
    """Return the settings in the file."""
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(settings, dict):
        raise ValueError("it contains no settings")  # noqa: TRY004 - the content is wrong
    return settings
