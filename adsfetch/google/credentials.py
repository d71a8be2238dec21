"""One access token for all threads, renewed once whoever notices first."""

from __future__ import annotations

import threading
import time
from typing import Any

from google.auth.exceptions import GoogleAuthError, RefreshError
from google.auth.transport.requests import Request


class SharedToken:
    """Credentials for a gRPC channel, around those that google-auth made.

    Left alone, every thread that meets an expired token renews it. Here one does, the others
    wait for it and share its result, good or bad; and a grant that was refused for good is
    never asked for again.
    """

    def __init__(self, credentials: Any) -> None:
        self._credentials = credentials
        self._lock = threading.Lock()
        self._failure: GoogleAuthError | None = None
        self._failed_at = 0.0

    @property
    def token(self) -> str | None:
        """Return the token that the next call will carry."""
        token: str | None = self._credentials.token
        return token

    @property
    def refused(self) -> GoogleAuthError | None:
        """Return why no token can be had any more, if that is so."""
        return self._failure if is_refusal(self._failure) else None

    def before_request(self, request: Any, _method: str, _url: str, headers: Any) -> None:
        """Put the token into the headers of a call, as the gRPC plugin asks."""
        asked = time.monotonic()
        with self._lock:
            if not self._credentials.valid:
                self._refresh(request, asked)
            self._credentials.apply(headers)

    def renew(self, stale: str | None) -> None:
        """Get a new token, unless another thread has replaced the stale one already."""
        asked = time.monotonic()
        with self._lock:
            if self._credentials.token == stale:
                self._refresh(Request(), asked)

    def _refresh(self, request: Any, asked: float) -> None:
        if self._failure and (self.refused or self._failed_at > asked):
            raise self._failure
        try:
            self._credentials.refresh(request)
            self._failure = None
        except GoogleAuthError as error:
            self._failure, self._failed_at = error, time.monotonic()
            raise


def is_refusal(error: Exception | None) -> bool:
    """Tell whether Google said no for good; a network that is down says nothing."""
    return isinstance(error, RefreshError) and not error.retryable
