"""Spans of requests and of their SQL statements, sent to a collector by OpenTelemetry.

Only app/factory.py imports this module, and only if the variables of OpenTelemetry ask for it: the
SDK is an extra, and takes a fifth of a second to import.
"""

from importlib import metadata
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext

from app.http.instrumentation import SPAN, on_begin
from app.http.request import ENVIRON
from app.http.response import Environ
from app.http.trace import HEADER, TraceContext, trace_of

SERVER_ERROR = 500
ATTRIBUTES = {
    "method": "http.request.method",
    "route": "http.route",
    "status": "http.response.status_code",
    "bytes": "http.response.body.size",
    "client": "client.address",
    "request_id": "bookstall.request_id",
    "cache": "bookstall.cache",
}
"""Attributes of a span by the fields of the request's record."""
STATEMENT = "bookstall.span"
"""The key under which a database connection has the span of the statement that it executes."""


class RequestSpan:
    """The span of a request, from its head to its record in the log."""

    def __init__(self, tracer: Tracer, environ: Environ) -> None:
        sent = trace_of(environ)
        caller = None if sent is None else set_span_in_context(_remote_span(sent))
        method = environ["REQUEST_METHOD"]
        self.span = tracer.start_span(method, caller, SpanKind.SERVER)
        # What is logged, and what webhooks pass on, is now the span of this request.
        context = self.span.get_span_context()
        traced = TraceContext(
            f"{context.trace_id:032x}", f"{context.span_id:016x}", int(context.trace_flags)
        )
        environ[HEADER] = traced.headers["traceparent"]
        if sent is None:
            environ.pop("HTTP_TRACESTATE", None)

    def end(self, fields: dict[str, Any]) -> None:
        """End the span with the fields of the request's record."""
        self.span.update_name(f"{fields['method']} {fields['route']}")
        self.span.set_attributes({ATTRIBUTES[name]: fields[name] for name in ATTRIBUTES})
        if fields["status"] >= SERVER_ERROR:
            self.span.set_status(StatusCode.ERROR)
        self.span.end()


class StatementSpans:
    """Listens to all engines: a statement of a request is a span within that of the request."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def listen(self) -> None:
        """Listen from now on, for the life of the process."""
        event.listen(Engine, "before_cursor_execute", self._begin)
        event.listen(Engine, "after_cursor_execute", self._end)
        event.listen(Engine, "handle_error", self._fail)

    def _begin(self, connection: Connection, _: Any, sql: str, *__: Any) -> None:
        request: RequestSpan | None = ENVIRON.get({}).get(SPAN)
        if request is not None and request.span.is_recording():
            # The text has placeholders for whatever a client sent.
            attributes = {"db.system.name": connection.dialect.name, "db.query.text": sql}
            within, name = set_span_in_context(request.span), sql.split(None, 1)[0]
            span = self._tracer.start_span(name, within, SpanKind.CLIENT, attributes)
            connection.info[STATEMENT] = span

    def _end(self, connection: Connection, *_: Any) -> None:
        span: Span | None = connection.info.pop(STATEMENT, None)
        if span is not None:
            span.end()

    def _fail(self, context: ExceptionContext) -> None:
        connection = context.connection
        if connection is None or connection.invalidated:  # it has no info any more
            return
        span: Span | None = connection.info.pop(STATEMENT, None)
        if span is not None:
            span.set_status(StatusCode.ERROR, type(context.original_exception).__name__)
            span.end()


def install() -> None:
    """Export spans of all requests of this process as the OTEL_* variables say."""
    version = metadata.version("bookstall")
    resource = Resource.create({SERVICE_VERSION: version})
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "bookstall"}))
    provider = TracerProvider(resource=resource)  # samples by OTEL_TRACES_SAMPLER
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    tracer = provider.get_tracer("bookstall", version)
    on_begin(lambda environ: RequestSpan(tracer, environ))
    StatementSpans(tracer).listen()


def _remote_span(sent: TraceContext) -> Span:
    context = SpanContext(
        trace_id=int(sent.trace_id, 16),
        span_id=int(sent.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(sent.flags),
    )
    return NonRecordingSpan(context)
