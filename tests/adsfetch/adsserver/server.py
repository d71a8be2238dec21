"""A Google Ads server on this machine: gRPC over TLS, a token endpoint, and a control API.

Run as ``python server.py FOLDER``; it prints its two ports as JSON when it is ready.
"""

import json
import re
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NoReturn

import grpc

sys.path.insert(0, str(Path(__file__).parents[1]))

from adsserver import messages
from adsserver.behaviour import Behaviour

RANGE = re.compile(r"segments\.date BETWEEN '(\d{4}-\d\d-\d\d)' AND '(\d{4}-\d\d-\d\d)'")
DAY = re.compile(r"segments\.date = '(\d{4}-\d\d-\d\d)'")
REFUSALS = {
    "quota": ("RESOURCE_EXHAUSTED", "quota_error", "RESOURCE_TEMPORARILY_EXHAUSTED"),
    "internal": ("INTERNAL", "internal_error", "INTERNAL_ERROR"),
    "unavailable": ("UNAVAILABLE", None, "try later"),
    "stream_removed": ("UNKNOWN", None, "Stream removed"),
    "deadline": ("DEADLINE_EXCEEDED", None, "too slow"),
    "deadline_internal": ("DEADLINE_EXCEEDED", "internal_error", "DEADLINE_EXCEEDED"),
    "expired": ("UNAUTHENTICATED", "authentication_error", "OAUTH_TOKEN_EXPIRED"),
    "not_ads_user": ("UNAUTHENTICATED", "authentication_error", "NOT_ADS_USER"),
    "bare_401": ("UNAUTHENTICATED", None, "no token"),
    "permission": ("PERMISSION_DENIED", "authorization_error", "USER_PERMISSION_DENIED"),
    "query": ("INVALID_ARGUMENT", "query_error", "UNRECOGNIZED_FIELD"),
    "too_old": ("INVALID_ARGUMENT", "date_range_error", "INVALID_DATE"),
}


class Call:
    """A call of the one method of the API that is used."""

    def __init__(self, behaviour: Behaviour, request: Any, context: Any) -> None:
        self.behaviour, self.request, self.context = behaviour, request, context
        self.customer: str = request.customer_id
        metadata = context.invocation_metadata()
        self.headers = {key: str(value) for key, value in metadata if key.islower()}

    def respond(self) -> Iterator[bytes]:
        found = DAY.search(self.request.query)
        day = found[1] if found else None
        self.behaviour.record_call(self.customer, day, self.headers)
        served = False
        try:
            time.sleep(self.behaviour.settings["latency"])
            if between := RANGE.search(self.request.query):
                yield from self.days(*map(date.fromisoformat, between.groups()))
            elif "FROM customer_client" in self.request.query:
                yield messages.clients(self.behaviour.settings["clients"])
            elif day is None:
                yield messages.account(self.behaviour.settings["time_zone"])
            else:
                yield from self.day(day)
            served = day is not None
        finally:
            self.behaviour.record_end(served=served)

    def days(self, first: date, last: date) -> Iterator[bytes]:
        """Yield the rows of a range, the days in no order, as the API does without ORDER BY."""
        self.behaviour.record_query(self.behaviour.ranges, self.request.query)
        rule = self.obey_rule("range")
        days = [str(first + timedelta(number)) for number in range((last - first).days + 1)]
        for number, day in enumerate(sorted(days, key=lambda day: day[::-1])):
            yield from self.rows(day, half=False)
            if rule["do"] == "break" and number:
                self.context.abort(grpc.StatusCode.UNAVAILABLE, "broken half-way")

    def day(self, day: str) -> Iterator[bytes]:
        self.behaviour.record_query(self.behaviour.days, day)
        rule = self.obey_rule("call", day)
        yield from self.rows(day, half=rule["do"] in ("break", "hang"))
        if rule["do"] == "break":
            self.context.abort(grpc.StatusCode.UNAVAILABLE, "broken half-way")
        if rule["do"] == "hang":
            wait_for_the_client_to_leave(self.context)

    def obey_rule(self, on: str, day: str | None = None) -> dict[str, Any]:
        """Return the rule of this call if it gets rows."""
        rule = self.behaviour.rule_for(on, day, self.customer)
        if self.headers.get("authorization", "").removeprefix("Bearer ") in self.behaviour.expired:
            rule = {"do": "expired"}
        if rule["do"] in REFUSALS or rule["do"] == "status":
            refuse(self.context, rule)
        return rule

    def rows(self, day: str, *, half: bool) -> Iterator[bytes]:
        settings = self.behaviour.settings
        total = 0 if day in settings["empty"] else settings["rows"]
        stop = total // 2 if half else total
        for start in range(0, stop, settings["batch"]):
            end = min(start + settings["batch"], stop)
            clicks = settings["restated"].get(day, settings["clicks"])
            yield messages.rows_of(day, start, end, clicks)


def refuse(context: Any, rule: dict[str, Any]) -> NoReturn:
    """End a call with the error of a rule; the rule ``status`` names all of it itself."""
    own = (rule.get("status"), rule.get("kind"), rule.get("code"))
    status, kind, code = REFUSALS.get(rule["do"], own)
    if kind:
        details = messages.failure(
            kind, rule.get("code", code), rule.get("retry_delay"), rule.get("scope")
        )
        context.set_trailing_metadata(((messages.FAILURE, details), ("request-id", "local")))
    context.abort(getattr(grpc.StatusCode, status), rule.get("text", code))
    raise AssertionError("abort always raises")


def wait_for_the_client_to_leave(context: Any) -> None:
    """Send nothing more, but do not end the call."""
    gone = threading.Event()
    if context.add_callback(gone.set):
        gone.wait()


class Web(BaseHTTPRequestHandler):
    """The HTTP side: tokens for the client, behaviour and log for the test."""

    protocol_version = "HTTP/1.1"
    behaviour = Behaviour({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/token":
            self.token()
        elif self.path == "/reset":
            Web.behaviour = Behaviour(json.loads(body))
            self.respond(200, None)
        elif self.path == "/change":
            self.respond(200, self.behaviour.change(json.loads(body)))

    def do_GET(self) -> None:
        self.respond(200, self.behaviour.log())

    def token(self) -> None:
        rule, token = self.behaviour.rule_for("token"), self.behaviour.new_token()
        if rule["do"] == "invalid_grant":
            self.respond(400, {"error": "invalid_grant", "error_description": "revoked"})
        elif rule["do"] == "token_503":
            self.respond(503, {"error": "try later"})
        else:
            lifetime = self.behaviour.settings["expires_in"]
            self.respond(200, {"access_token": token, "expires_in": lifetime})

    def respond(self, status: int, record: Any) -> None:
        body = json.dumps(record).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named so there
        """Say nothing."""


def main(folder: Path) -> None:
    """Serve until standard input ends, which it does with the process that started us."""
    web = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    api = grpc.server(ThreadPoolExecutor(40))
    method = grpc.unary_stream_rpc_method_handler(
        lambda request, context: Call(Web.behaviour, request, context).respond(),
        messages.Request.FromString,
        lambda raw: raw,
    )
    service, _, name = messages.METHOD.strip("/").partition("/")
    api.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: method}),))
    pair = ((folder / "key.pem").read_bytes(), (folder / "cert.pem").read_bytes())
    port = api.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    api.start()
    print(json.dumps({"api": port, "web": web.server_port}), flush=True)  # noqa: T201
    sys.stdin.read()
    api.stop(None)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
