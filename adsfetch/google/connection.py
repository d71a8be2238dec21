"""The connection to the Google Ads API: one channel and one token for all threads."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml
from google.ads.googleads.client import GoogleAdsClient

from adsfetch.errors import UsageError
from adsfetch.google.credentials import SharedToken
from adsfetch.google.errors import translate
from adsfetch.google.gapic_adapter import api_version, search_stream
from adsfetch.google.report import Account
from adsfetch.google.search import Search
from adsfetch.sources import Batch

# The summary reports each error once; the library would also log it once for each call.
logging.getLogger("google.ads.googleads").addHandler(logging.NullHandler())


class Connection:
    """One service object, which many threads may use at once."""

    def __init__(self, client: GoogleAdsClient, customer_id: str) -> None:
        self.token = SharedToken(client.credentials)
        client.credentials = self.token
        self._service = client.get_service("GoogleAdsService")
        self.version = api_version(self._service)
        row = client.get_type("GoogleAdsRow").DESCRIPTOR
        select_fields = search_stream(client, self._service, customer_id)
        self._search = cache(partial(Search, row, select_fields))

    def batches(self, gaql: str, paths: Sequence[str], timeout: float) -> Iterator[Batch]:
        """Yield the rows of a query; there is no retry here, because the day is retried."""
        search = self._search(tuple(paths))
        with self._translated_errors():
            yield from search.batches(gaql, timeout)

    def renew_token(self, refused: str | None) -> None:
        """Replace a refused token, once for all threads that were refused with it."""
        with self._translated_errors():
            self.token.renew(refused)

    def close(self) -> None:
        """Close the channel, which cancels all calls."""
        self._service.transport.close()

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise translate(self.token.permanent_error or error, self.version) from error


def connect(account: Account) -> Connection:
    """Read the configuration, get a first token, and open the channel."""
    path = config_path(account.config)
    try:
        config = {**read_config(path), "use_proto_plus": False}
        if account.login_customer_id:
            config["login_customer_id"] = account.login_customer_id
        client = GoogleAdsClient.load_from_dict(config, account.api_version)
        return Connection(client, account.customer_id)
    except OSError as error:
        raise UsageError(f"cannot use {error.filename or path}: {error.strerror}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise UsageError(f"cannot use {path}: {error}") from error
    except Exception as error:
        raise translate(error, "") from error


def config_path(given: Path | None) -> Path:
    """Return the configuration file; by default where the client library looks for it too."""
    default = os.environ.get("GOOGLE_ADS_CONFIGURATION_FILE_PATH")
    return given or Path(default or "~/google-ads.yaml").expanduser()


def read_config(path: Path) -> dict[str, Any]:
    """Return the settings in the file."""
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(settings, dict):
        raise ValueError("it contains no settings")  # noqa: TRY004 - the content is wrong
    return settings
