"""One access token for all threads, renewed by the first thread that finds it expired."""

import threading
import time
from typing import Any

from google.auth.exceptions import GoogleAuthError, RefreshError
from google.auth.transport.requests import Request


class SharedToken:
    """Credentials for a gRPC channel, as a wrapper around those of google-auth.

    Without it every thread that meets an expired token renews it. Here one thread does, and
    the others wait and share the result, token or error. A grant that was refused permanently
    is never used again.
    """

    def __init__(self, credentials: Any) -> None:
        self._credentials = credentials
        self._lock = threading.Lock()
        self._failure: GoogleAuthError | None = None
        self._failed_at = 0.0

    @property
    def value(self) -> str | None:
        token: str | None = self._credentials.token
        return token

    @property
    def permanent_error(self) -> GoogleAuthError | None:
        """Return why no token can be obtained any more; None if one can."""
        return self._failure if is_permanent(self._failure) else None

    def before_request(self, request: Any, _method: str, _url: str, headers: Any) -> None:
        """Put the token into the headers of a call; the gRPC plugin calls this."""
        started = time.monotonic()
        with self._lock:
            if not self._credentials.valid:
                self._refresh(request, started)
            self._credentials.apply(headers)

    def renew(self, refused: str | None) -> None:
        """Get a new token, unless another thread has already replaced the refused one."""
        started = time.monotonic()
        with self._lock:
            if self._credentials.token == refused:
                self._refresh(Request(), started)

    def _refresh(self, request: Any, started: float) -> None:
        if self._failure and (self.permanent_error or self._failed_at > started):
            raise self._failure
        try:
            self._credentials.refresh(request)
            self._failure = None
        except GoogleAuthError as error:
            self._failure, self._failed_at = error, time.monotonic()
            raise


def is_permanent(error: Exception | None) -> bool:
    """Return whether Google refused the grant, in contrast to a failure of the network."""
    return isinstance(error, RefreshError) and not error.retryable
