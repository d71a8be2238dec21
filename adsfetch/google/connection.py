"""The connection to the Google Ads API: one channel and one token for all threads."""

from __future__ import annotations

import inspect
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
from adsfetch.google import footprint
from adsfetch.google.credentials import SharedToken
from adsfetch.google.errors import translate
from adsfetch.google.search import Search
from adsfetch.google.source import Account
from adsfetch.storage.csv import Batch

DEFAULT_VERSION: str = inspect.signature(GoogleAdsClient.get_service).parameters["version"].default

# What goes wrong is told at the end; the library would also print it, once for each call.
logging.getLogger("google.ads.googleads").addHandler(logging.NullHandler())


class Connection:
    """One service object, which may be used by many threads at once."""

    def __init__(self, client: Any, customer_id: str) -> None:
        self.version = client.version
        self.token = SharedToken(client.credentials)
        self._customer_id = customer_id
        client.credentials = self.token
        self._service = client.get_service("GoogleAdsService")
        self._search = cache(partial(Search, client, self._service))
        footprint.settled()

    def batches(self, gaql: str, paths: Sequence[str], timeout: float) -> Iterator[Batch]:
        """Yield the rows of a query; nothing is tried twice here, the day as a whole is."""
        search = self._search(tuple(paths))
        with self._translated():
            yield from search.batches(self._customer_id, gaql, timeout)

    def renew(self, stale: str | None) -> None:
        """Replace a token that was refused, once for all who met the refusal."""
        with self._translated():
            self.token.renew(stale)

    def close(self) -> None:
        """Cut the channel and all calls on it."""
        self._service.transport.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise translate(self.token.refused or error, self.version) from error


def open(account: Account) -> Connection:  # noqa: A001 - connection.open reads best
    """Read the configuration, get a first token, and connect."""
    path = config_path(account.config)
    footprint.few_arenas()
    try:
        config = {**read(path), "use_proto_plus": False}
        if account.login_customer_id:
            config["login_customer_id"] = account.login_customer_id
        version = account.api_version or DEFAULT_VERSION
        return Connection(GoogleAdsClient.load_from_dict(config, version), account.customer_id)
    except OSError as error:
        raise UsageError(f"cannot use {error.filename or path}: {error.strerror}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise UsageError(f"cannot use {path}: {error}") from error
    except Exception as error:
        raise translate(error, "") from error


def config_path(given: Path | None) -> Path:
    """Return the configuration file, where the client library looks for it too."""
    named = os.environ.get("GOOGLE_ADS_CONFIGURATION_FILE_PATH")
    return given or Path(named or "~/google-ads.yaml").expanduser()


def read(path: Path) -> dict[str, Any]:
    """Return the settings in the file."""
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(settings, dict):
        raise ValueError("it holds no settings")  # noqa: TRY004 - the file's fault, not a type's
    return settings
