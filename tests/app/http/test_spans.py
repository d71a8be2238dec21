"""OpenTelemetry: a collector gets the spans of requests, and off it is not even imported."""

import gzip
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import ClassVar

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from app.config import InvalidSetting, from_env
from stress.service import ROOT
from tests.servers import Gunicorn, LiveGunicorn
from tests.waiting import wait_until

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
REQUEST_ID = "bookstall.request_id"


class Collector(BaseHTTPRequestHandler):
    """Keeps the spans that it gets, with the attributes of their resource."""

    spans: ClassVar[list] = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = attributes(group.resource)
            self.spans += [(each, resource) for scope in group.scope_spans for each in scope.spans]
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def collector():
    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def attributes(of):
    return {each.key: each.value.string_value or each.value.int_value for each in of.attributes}


def request_lines(server, request_id):
    lines = [line for line in server.log_lines() if f'"{request_id}"' in line]
    return [line for line in lines if '"logger":"bookstall.request"' in line]


def spans_of(trace_id, count):
    """Return the spans of a trace, the outer one first, once there are so many."""
    spans = [each for each, _ in Collector.spans if each.trace_id.hex() == trace_id]
    return len(spans) >= count and sorted(spans, key=lambda span: span.kind)


@pytest.mark.parametrize("kind", [Gunicorn, LiveGunicorn], ids=["wsgi", "asgi"])
def test_a_collector_gets_the_spans_of_requests_and_of_their_statements(
    migrated_sqlite, collector, kind
):
    Collector.spans.clear()
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector, "WEB_CONCURRENCY": "2"}
    with kind(DATABASE_URL=f"sqlite:///{migrated_sqlite}", **settings) as server:
        sent = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
        assert server.request("GET", "/products/77777", X_Request_ID="id-1", **sent)[0] == 404
        for _ in range(3):  # of one of the two workers the second is a hit
            assert server.request("GET", "/products", X_Request_ID="id-2")[0] == 200
        [logged] = wait_until(lambda: request_lines(server, "id-1"))
        not_sampled = {"traceparent": f"00-{'7' * 32}-{CALLER}-00"}
        assert server.request("GET", "/products", **not_sampled)[0] == 200
    # A worker that ends sends what it has.
    request, statement = wait_until(lambda: spans_of(TRACE, count=2))
    assert request.name == "GET /products/<id:product_id>"
    assert request.parent_span_id.hex() == CALLER
    said = attributes(request)
    assert (said["http.response.status_code"], said["bookstall.request_id"]) == (404, "id-1")
    assert (statement.name, statement.parent_span_id) == ("WITH", request.span_id)
    assert "FROM product" in attributes(statement)["db.query.text"]
    assert f'"trace_id":"{TRACE}","span_id":"{request.span_id.hex()}"' in logged
    own = [each for each, _ in Collector.spans if attributes(each).get(REQUEST_ID) == "id-2"]
    assert [each.parent_span_id for each in own] == [b""] * 3
    assert any(attributes(each)["bookstall.cache"].startswith("hit") for each in own)
    assert not spans_of("7" * 32, count=0)
    assert {resource["service.name"] for _, resource in Collector.spans} == {"bookstall"}


def run(program, tmp_path, **settings):
    known = {"DATABASE_URL": f"sqlite:///{tmp_path / 'any.db'}", "SECRET_KEY": "any secret at all"}
    command, environment = [sys.executable, "-c", program], {**known, **settings}
    return subprocess.run(
        command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True
    )


def test_the_service_imports_nothing_of_opentelemetry_unless_a_collector_is_named(tmp_path):
    # redis-py imports what it finds of its metrics: only what exports spans tells that we did.
    program = "import sys, asgi; print([m for m in sys.modules if m.endswith(OURS)])"
    ours = ("app.http.spans", "opentelemetry.sdk.trace", "opentelemetry.exporter")
    done = run(program.replace("OURS", str(ours)), tmp_path)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_service_needs_no_opentelemetry(tmp_path):
    program = "import sys; sys.modules['opentelemetry'] = None; import asgi; print('works')"
    done = run(program, tmp_path)
    assert (done.stdout, done.stderr) == ("works\n", "")


@pytest.mark.parametrize(
    ("given", "exporter"),
    [
        ({}, "none"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "otlp"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a"}, "otlp"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_TRACES_EXPORTER": "none"}, "none"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_SDK_DISABLED": "TRUE"}, "none"),
    ],
)
def test_the_standard_variables_decide(given, exporter):
    assert from_env({"SECRET_KEY": "any secret at all", **given}).traces_exporter == exporter


def test_another_exporter_stops_the_start():
    with pytest.raises(InvalidSetting, match="OTEL_TRACES_EXPORTER"):
        from_env({"SECRET_KEY": "any secret at all", "OTEL_TRACES_EXPORTER": "zipkin"})


def test_without_the_package_the_start_ends_with_one_line(tmp_path):
    program = "import sys; sys.modules['opentelemetry'] = None; import wsgi"
    done = run(program, tmp_path, OTEL_TRACES_EXPORTER="otlp")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("bookstall: OTEL_TRACES_EXPORTER is otlp, for which `pip install")
