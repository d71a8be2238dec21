"""Connections that send responses to plain reads without gunicorn's parser, tasks and messages.

Most clients send the same head again and again. The bytes of the head of a plain read are kept, so
that the same bytes need not be parsed again.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from typing import Any

from gunicorn.asgi.parser import CallbackRequest

from app.http.response import BufferedResponse
from app.server.asgi_connection import CONNECTION, HttpConnection
from app.server.open_connections import OpenConnections

PRIVATE_NAMES = (
    f"{CONNECTION}._arm_keepalive_timer",
    f"{CONNECTION}._awaiting_request",
    f"{CONNECTION}._build_http_scope",
    f"{CONNECTION}._callback_parser",
    f"{CONNECTION}._closed",
    f"{CONNECTION}._current_request",
    f"{CONNECTION}._flow_control",
    f"{CONNECTION}._keepalive",
    f"{CONNECTION}._keepalive_handle",
    f"{CONNECTION}._keepalive_timeout",
    f"{CONNECTION}._pause_reading",
    f"{CONNECTION}._proxy_protocol",
    f"{CONNECTION}._response_buffer",
    f"{CONNECTION}._resume_reading",
    f"{CONNECTION}._safe_write",
    f"{CONNECTION}._send_response_start",
    f"{CONNECTION}._serve_http_request",
    f"{CONNECTION}._will_close",
    f"{CONNECTION}.app",
    f"{CONNECTION}.req_count",
)
READS = frozenset({"GET", "HEAD"})
MAX_HEADS = 2_048
MAX_HEAD_BYTES = 1_024
"""So many heads, none longer, are kept as the application read them."""
MAX_ARRIVED_BYTES = 65_536
"""What may arrive before a response is sent; more waits in the kernel."""
MIN_KEEPALIVE_SECONDS = 0.1
"""The time until the timer looks again at a connection that waits for its response."""
HTTP_1_1 = (1, 1)
KNOWN_REQUEST = CallbackRequest()
"""What gunicorn asks of a request before it responds: the same for all known heads."""
KNOWN_REQUEST.version = HTTP_1_1
log = logging.getLogger(__name__)


class KnownHeads:
    """What the application read in the plain heads that came last, by client address and bytes."""

    def __init__(self) -> None:
        self._heads: OrderedDict[tuple[Any, bytes], Any] = OrderedDict()

    def get(self, client: Any, data: bytes) -> Any | None:
        head = self._heads.get((client, data))
        if head is not None:
            self._heads.move_to_end((client, data))
        return head

    def put(self, client: Any, data: bytes, head: Any) -> None:
        self._heads[client, data] = head
        if len(self._heads) > MAX_HEADS:
            self._heads.popitem(last=False)


class MemoryConnection(HttpConnection):
    """A connection whose application may respond to a head alone."""

    _response_buffer: bytes

    def __init__(self, worker: Any, connections: OpenConnections, heads: KnownHeads) -> None:
        super().__init__(worker, connections)
        self._heads = heads
        self._client: Any = None
        """The address of the peer, without its port; whatever a Unix socket has instead."""
        self._only_chunk: bytes | None = None
        """The chunk that began the next request, if no other followed and it is short enough."""
        self._answering: asyncio.Task[None] | None = None
        """Responds to a known head."""
        self._arrived = b""
        """What has arrived since then."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self._client = peer[0] if isinstance(peer, tuple) else peer

    def data_received(self, data: bytes) -> None:
        if self._discards:
            return
        if self._answering is not None:
            self._arrived += data
            self._hold(len(self._arrived))
            if len(self._arrived) > MAX_ARRIVED_BYTES:
                self._pause_reading()
            return
        starts_here = self._is_between_requests()
        head = self._heads.get(self._client, data) if starts_here else None
        if head is not None and not self._will_close(KNOWN_REQUEST, False):
            self._answering = self.worker.loop.create_task(self._answer(head))
            return
        self._only_chunk = data if starts_here and len(data) <= MAX_HEAD_BYTES else None
        super().data_received(data)

    def is_idle(self) -> bool:
        return self._answering is None and super().is_idle()

    def overdue(self, now: float) -> str | None:
        if self._answering is not None and self._unread_since is None:
            return None  # the head is complete, the response may take its time
        return super().overdue(now)

    def _is_between_requests(self) -> bool:
        """Return whether the next byte begins a request, of which nothing is known yet."""
        return (
            self._awaiting_request
            and self._current_request is None
            and self.head_since is None
            and not self._closed
            and self._proxy_protocol == "off"
            and not self._flow_control.write_paused
        )

    async def _answer(self, head: Any) -> None:
        """Respond to a known head."""
        try:
            response = await self.app.respond(head)
        except Exception:
            log.exception("error while a known head was answered")
            self.abort()
            return
        self._answering, arrived = None, self._arrived
        if arrived:
            self._arrived = b""
            self._hold(0)
            self._resume_reading()
        if self._closed:
            return
        self.req_count += 1
        self.worker.nr += 1
        self._write(KNOWN_REQUEST, response)
        self.idle_since = time.monotonic()
        if self._keepalive_handle is None:  # gunicorn has not handled a request before
            self._arm_keepalive_timer()
        if arrived:
            self.data_received(arrived)

    def _keepalive_timeout(self) -> None:
        """Wait until the connection has been idle for the whole time.

        gunicorn's timer runs since the last request that gunicorn has handled.
        """
        left = self.idle_since + self._keepalive - time.monotonic()
        if self._answering is not None or left > 0:
            wait = max(left, MIN_KEEPALIVE_SECONDS)
            self._keepalive_handle = self.worker.loop.call_later(wait, self._keepalive_timeout)
        else:
            super()._keepalive_timeout()

    async def _serve_http_request(self, request: Any, sockname: Any, peername: Any) -> bool:
        """Send the response to a plain read without the channels and checks of ASGI."""
        chunk, self._only_chunk = self._only_chunk, None
        if self._callback_parser.remaining():
            chunk = None  # the next request came with it
        read_head = getattr(self.app, "read_head", None)
        if read_head is not None and request.method in READS:
            scope = self._build_http_scope(request, sockname, peername)
            head = read_head(scope)
            if head is not None:
                stays_open = await self._send_response(request, await self.app.respond(head))
                if chunk is not None and stays_open and request.version == HTTP_1_1:
                    self._heads.put(self._client, chunk, head)
                return stays_open
        keeps_alive: bool = await super()._serve_http_request(request, sockname, peername)
        return keeps_alive

    async def _send_response(self, request: Any, response: BufferedResponse) -> bool:
        """Send a response to ``request``; return whether the connection stays open."""
        close: bool = self._will_close(request, response_requires_close=False)
        self._write(request, response, close=close)
        if self._flow_control is not None and self._flow_control.write_paused:
            await self._flow_control.drain()
        return not close

    def _write(self, request: Any, response: BufferedResponse, *, close: bool = False) -> None:
        headers = [(name.lower(), value) for name, value in response.headers]
        self._send_response_start(int(response.status[:3]), headers, request, close=close)
        self._safe_write(self._response_buffer + response.body)
        self._response_buffer = b""
