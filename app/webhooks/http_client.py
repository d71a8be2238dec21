"""The HTTP client of webhooks: it resolves names itself, and connects to what it has checked.

It follows no redirects, reads no proxies from the environment and stores no cookies.
"""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import httpcore

from app.webhooks.targets import Target, TargetRefused, check_address

REQUEST_SECONDS = 15.0
"""The name, the connection, the request and the head of the response, all together."""
CONNECT_SECONDS = 5.0  # for each address of the host
MAX_ADDRESSES = 3
BODY_SECONDS, BODY_BYTES = 1.0, 16_384
"""A connection is used again if the body of the response ends within these."""
DNS_THREADS = 64
"""Names that are resolved at a time: the system's resolver blocks a thread for each."""
SUCCESS = range(200, 300)
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a host; raises OSError if there are none."""
ERRORS: Sequence[tuple[type[Exception], str]] = (
    (httpcore.ConnectTimeout, f"no connection within {CONNECT_SECONDS:.0f} s"),
    (httpcore.TimeoutException, f"no response within {REQUEST_SECONDS:.0f} s"),
    (TimeoutError, f"no response within {REQUEST_SECONDS:.0f} s"),
    (httpcore.ConnectError, "no connection"),
    (httpcore.ProtocolError, "the response is not HTTP/1.1, or the connection was closed"),
    (httpcore.NetworkError, "the connection was lost"),
)
log = logging.getLogger(__name__)


class Response(NamedTuple):
    """What came of a request."""

    status: int | None
    error: str | None
    """A short sentence for the owner of the webhook; None after a success."""
    retry_after: str | None
    """The header."""
    milliseconds: int


class SystemResolver:
    """Resolves names as the system does, in threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(DNS_THREADS, thread_name_prefix="webhook-dns")

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _addresses, host, port)
        return list(dict.fromkeys(found))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _addresses(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to the addresses of a host if all of them are allowed."""

    def __init__(self, resolve: Resolve, *, private: bool) -> None:
        self._resolve = resolve
        self._private = private
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve ``host`` once; raise TargetRefused if an address of it is not allowed."""
        addresses = await self._resolve(host, port)
        for address in addresses:
            check_address(address, private=self._private)
        error: Exception = httpcore.ConnectError("the host has no address")
        for address in addresses[:MAX_ADDRESSES]:
            try:
                # An address is not resolved again.
                return await self._network.connect_tcp(address, port, timeout)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failure:
                error = failure
        raise error


class Client:
    """Sends requests to one target, over one connection that it keeps until it is closed."""

    def __init__(self, target: Target, network: CheckedNetwork, tls: ssl.SSLContext) -> None:
        self._target = target
        self._connections = httpcore.AsyncConnectionPool(
            ssl_context=tls, max_connections=1, http2=False, network_backend=network
        )

    async def post(self, headers: Mapping[str, str], body: bytes) -> Response:
        """Send one request; failures are a Response too."""
        began = time.monotonic()
        status, retry_after, error = None, None, None
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                response = await self._send(headers, body)
            status, retry_after = response.status, _header(response, b"retry-after")
            await _finish(response)
        except Exception as failure:  # noqa: BLE001 - whatever it is, the request has failed
            error = _describe(failure)
        if status is not None:
            error = None if status in SUCCESS else f"status {status}"
        return Response(status, error, retry_after, round(1_000 * (time.monotonic() - began)))

    async def close(self) -> None:
        """Close the connection; the next request opens another one."""
        await self._connections.aclose()

    async def _send(self, headers: Mapping[str, str], body: bytes) -> httpcore.Response:
        target = self._target
        url = httpcore.URL(
            scheme=target.scheme.encode(),
            host=target.host.encode(),
            port=target.port,
            target=target.path.encode(),
        )
        sent = {"Host": target.host_header, "Content-Length": str(len(body)), **headers}
        request = httpcore.Request(
            "POST",
            url,
            headers=[(name.encode(), value.encode()) for name, value in sent.items()],
            content=body,
            extensions={"timeout": {"connect": CONNECT_SECONDS}},
        )
        return await self._connections.handle_async_request(request)


async def _finish(response: httpcore.Response) -> None:
    """Read the body if it is short; closing an unfinished response closes the connection."""
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in response.aiter_stream():
                size += len(part)
                if size > BODY_BYTES:
                    break
    finally:
        await response.aclose()


def _header(response: httpcore.Response, name: bytes) -> str | None:
    return next((v.decode("latin-1") for k, v in response.headers if k.lower() == name), None)


def _describe(failure: BaseException) -> str:
    cause: BaseException | None = failure
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"no valid certificate: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return "no TLS connection"
        if isinstance(cause, TargetRefused | socket.gaierror):
            is_refused = isinstance(cause, TargetRefused)
            return str(cause) if is_refused else "the name of its host cannot be resolved"
        cause = cause.__cause__ or cause.__context__
    for kind, text in ERRORS:
        if isinstance(failure, kind):
            return text
    log.warning("a request of a webhook failed in an unknown way", exc_info=failure)
    return "the request failed"
