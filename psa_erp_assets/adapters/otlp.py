"""Spans to a collector, as OTLP over HTTP."""

import datetime as dt
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from psa_erp_assets.domain.tracing import Span, SpanId

_SECONDS = 10
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_MICROSECOND = dt.timedelta(microseconds=1)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class SpanSink:
    """Takes spans that have ended. `exporter` is another than that of the address, for tests."""

    def __init__(self, url: str, *, tenant: str, exporter: SpanExporter | None = None) -> None:
        self._exporter = exporter or OTLPSpanExporter(endpoint=url, timeout=_SECONDS)
        self._resource = Resource({"service.name": "psa-erp", "service.namespace": tenant})
        self._scope = InstrumentationScope("psa_erp_assets")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exporter.shutdown()

    def send(self, spans: Sequence[Span]) -> bool:
        """Whether the collector has taken them."""
        return not spans or self._exporter.export([self._readable(span) for span in spans]) is SpanExportResult.SUCCESS

    def _readable(self, span: Span) -> ReadableSpan:
        return ReadableSpan(
            name=span.name,
            context=_context(span.id),
            parent=None if span.parent is None else _context(span.parent),
            resource=self._resource,
            attributes=span.attributes,
            links=[Link(_context(link)) for link in span.links],
            kind=SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR if span.failed else StatusCode.OK),
            start_time=_nanoseconds(span.began),
            # Clocks of two machines may disagree; a span does not end before it begins.
            end_time=_nanoseconds(max(span.began, span.ended)),
            instrumentation_scope=self._scope,
        )


def _context(where: SpanId) -> SpanContext:
    return SpanContext(where.trace, where.span, is_remote=False, trace_flags=_SAMPLED)


def _nanoseconds(at: dt.datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND * 1000
