"""Receivers of webhooks that fail at random, and the process that delivers to them."""

import asyncio
import base64
import hashlib
import hmac
import sys
from collections.abc import AsyncGenerator, Mapping
from http import HTTPStatus
from typing import Any

import orjson

from stack.process import Server
from stress.http_client import HttpClient, Response, post
from stress.service import environment
from stress.subscriptions.followers import Follower, Message, newest_cursor

FAILURES = {"500 Internal Server Error": 0.6, "302 Found": 0.2, "": 0.2}
"""The status lines of failed deliveries, with their weights; without one, no response."""
FAILING = 0.01
"""The part of the deliveries that fail: the next attempt comes a second or more later."""
SLOW, SLOW_SECONDS = 0.01, 0.5


class Deliverer(Server):
    """A process that delivers webhooks if no other one does."""

    def __init__(self, **settings: str) -> None:
        super().__init__()
        self._settings = settings

    def command(self) -> list[str]:
        return [sys.executable, "-m", "flask", "--app", "wsgi", "webhooks", "deliver"]

    def popen_options(self) -> Mapping[str, Any]:
        return {"env": environment(**self._settings)}

    def is_ready(self) -> bool:
        """Return True: what it does, only receivers see."""
        return True


class WebhookFollower(Follower):
    """A webhook and its receiver, which fails at random, and then gets the same event again."""

    _secret = b""

    def follow(self) -> AsyncGenerator[Message, None]:
        raise NotImplementedError("the service connects to the receiver")

    async def run(self, delay: float) -> None:
        """Receive until cancelled."""
        await asyncio.sleep(delay)
        server = await asyncio.start_server(self._accept, self.way.receiver, 0)
        host, port = server.sockets[0].getsockname()
        start = await asyncio.to_thread(newest_cursor, self.way.port)
        types = sorted(self.record.types or ())
        webhook = {"url": f"http://{host}:{port}/", "types": types, "description": "stress"}
        body = orjson.dumps(webhook)
        response = await asyncio.to_thread(self._create, body)
        while response is not None and response.status == HTTPStatus.SERVICE_UNAVAILABLE:
            # All are created at the same time: one may wait too long for the locks of others.
            response = await asyncio.to_thread(self._create, body)
        if response is None or response.status != HTTPStatus.CREATED:
            raise SystemExit(f"no webhook: {response}")
        secret = orjson.loads(response.body)["secret"].removeprefix("whsec_")
        self._secret = base64.b64decode(secret)
        self.record.start = start
        async with server:
            await server.serve_forever()

    def _create(self, body: bytes) -> Response | None:
        client = HttpClient(self.way.port)
        try:
            return client.request(post("/webhooks", body))
        finally:
            client.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.set_connected()
        try:
            while status := await self._receive(reader):
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            pass  # asyncio would print the error of a server that is cancelled
        finally:
            writer.close()

    async def _receive(self, reader: asyncio.StreamReader) -> str:
        """Receive one event, and return the status line of the response."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = [line.partition(":") for line in head.split("\r\n")[1:]]
        headers = {name.lower(): value.strip() for name, _, value in lines}
        body = await reader.readexactly(int(headers["content-length"]))
        event = orjson.loads(body)
        if not self._is_signed(headers, body) or headers["webhook-id"] != event["cursor"]:
            self.record.errors.append("signature or id")
        chance = self.way.rng.random()
        if chance < FAILING:
            self.record.drops += 1
            return self.way.rng.choices([*FAILURES], [*FAILURES.values()])[0]
        if chance < FAILING + SLOW:
            await asyncio.sleep(SLOW_SECONDS)
        self.add(event)
        return "200 OK"

    def _is_signed(self, headers: Mapping[str, str], body: bytes) -> bool:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        digest = hmac.digest(self._secret, signed, hashlib.sha256)
        return f"v1,{base64.b64encode(digest).decode()}" in headers["webhook-signature"].split()
