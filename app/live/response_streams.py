"""Bodies that are made while they are sent, under asgi: threads make them, the event loop sends."""

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor

from starlette.types import Message, Receive, Send

from app.config import EXPORTS
from app.http.response import BodyStream, BufferedResponse
from app.http.streams import StreamBroken


class ResponseStreams:
    """Sends streams; a client that reads slowly occupies no thread."""

    def __init__(self) -> None:
        # Of their own: other requests do not wait for the next chunk of a stream.
        self._threads = ThreadPoolExecutor(EXPORTS, thread_name_prefix="streams")

    async def send(self, start: Message, stream: BodyStream, receive: Receive, send: Send) -> None:
        """Send the start of a response, and the body until it ends or the client leaves."""
        loop = asyncio.get_running_loop()
        client_leaves = asyncio.ensure_future(until_disconnected(receive))
        sent: asyncio.Future[None] = loop.create_future()
        try:
            await send(start)
            while not client_leaves.done():
                chunk = await loop.run_in_executor(self._threads, next, stream, b"")
                message = {"type": "http.response.body", "body": chunk, "more_body": chunk != b""}
                # It waits while the client does not read, and gunicorn lets it do so for 3 s more
                # after the client has left.
                sent = asyncio.ensure_future(send(message))
                await asyncio.wait({sent, client_leaves}, return_when=asyncio.FIRST_COMPLETED)
                if not chunk:
                    return
        except StreamBroken:
            # gunicorn then closes the connection; what else ends a response early is an error.
            raise asyncio.CancelledError from None
        finally:
            sent.cancel()
            client_leaves.cancel()
            # It waits for a thread that makes a chunk; a cancelled task must not give that up.
            await asyncio.shield(loop.run_in_executor(self._threads, stream.close))


async def until_disconnected(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


def close_unsent(response: "Future[BufferedResponse]") -> None:
    """Close the stream of a response whose client left before it was made."""
    if not response.cancelled() and response.exception() is None:
        stream = response.result().stream
        if stream is not None:
            stream.close()
