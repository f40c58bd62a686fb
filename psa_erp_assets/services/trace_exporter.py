"""The worker that lives with the console: it exports traces, where the settings name a collector."""

import logging
import threading

from sqlalchemy.exc import SQLAlchemyError

from psa_erp_assets.adapters.logs import say
from psa_erp_assets.domain.log_events import LogEvent
from psa_erp_assets.services import tracing
from psa_erp_assets.services.runtime import Runtime

_ROUND_SECONDS = 10.0

logger = logging.getLogger(__name__)


def work(runtime: Runtime, stop: threading.Event) -> None:
    """Export until `stop` is set. Trouble is said once a round, and the next round goes on where this one stopped."""
    settings = runtime.settings
    if settings.traces_url is None:
        stop.wait()
        return
    # It brings protobuf and requests, which nobody needs who has no collector.
    from psa_erp_assets.adapters.otlp import SpanSink  # noqa: PLC0415

    with SpanSink(settings.traces_url, tenant=settings.tenant) as sink:
        while not stop.is_set():
            try:
                spans = tracing.export(
                    runtime.engine, sink, settings.tenant, now=runtime.clock(), ratio=settings.traces_ratio
                )
                if spans:
                    say(LogEvent.SPANS_EXPORTED, spans=spans)
            except SQLAlchemyError as error:
                # The message of a driver can repeat parameters; its type says enough.
                logger.warning("no traces could be exported (%s)", type(error).__name__)
            stop.wait(_ROUND_SECONDS)
