"""A client that does what the EventSource of a browser does."""

import contextlib
import http.client
import json
import threading
from typing import Any, Self

from tests.waiting import PATIENCE, wait_until


class EventSource:
    """Reads an event stream in a thread; reconnects with Last-Event-ID, unless it must give up.

    As the standard says: after an end or an error of the network it reconnects, after any status
    but 200 it does not.
    """

    def __init__(self, server: Any, path: str, **headers: str) -> None:
        self._server, self._path, self._headers = server, path, headers
        self.last_event_id = ""
        self.events: list[tuple[str, Any]] = []
        """The id and the data of each event."""
        self.connections = 0
        self.status: int | None = None
        """For which it gave up."""
        self._retry = 0.5
        self._closed = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        wait_until(lambda: self.connections or self.status)
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        wait_until(self._has_ended)

    def _has_ended(self) -> bool:
        with contextlib.suppress(Exception):  # again, if it was just about to reconnect
            self._connection.sock.shutdown(2)  # type: ignore[union-attr]
        return not self._thread.is_alive()

    def wait_for(self, count: int) -> list[tuple[str, Any]]:
        """Wait for so many events, and return all."""
        wait_until(lambda: len(self.events) >= count or self.status)
        assert self.status is None
        return self.events

    def _run(self) -> None:
        while not self._closed.is_set() and self.status is None:
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                self._connect()
            self._closed.wait(self._retry)

    def _connect(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=PATIENCE)
        self._connection = connection
        headers = {"Accept": "text/event-stream", **self._headers}
        if self.last_event_id:
            headers["Last-Event-ID"] = self.last_event_id
        try:
            connection.request("GET", self._path, headers=headers)
            response = connection.getresponse()
            if response.status != 200:
                self.status = response.status
                return
            self._read(response)
        finally:
            connection.close()

    def _read(self, response: http.client.HTTPResponse) -> None:
        identity, data = self.last_event_id, ""
        while line := response.readline():
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "retry":
                self._retry = int(value) / 1_000
                self.connections += 1
            elif name == "id":
                identity = value
            elif name == "data":
                data += value
            elif not line.strip():  # an event ends, also one without data
                self.last_event_id = identity
                if data:
                    self.events.append((identity, json.loads(data)))
                data = ""
