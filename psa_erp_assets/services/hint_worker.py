"""The worker that lives with the console: it handles webhook deliveries as soon as they are stored."""

import logging
import threading
import time
from functools import partial

import psycopg
from sqlalchemy.exc import SQLAlchemyError

from psa_erp_assets.adapters.store.deliveries import CHANNEL
from psa_erp_assets.services import connections, hinted_objects, hints, work_log
from psa_erp_assets.services.runtime import OPERATIONAL_DATABASE, Runtime

# How long it waits for a notification; a delivery whose time for another attempt has come waits no longer.
_PATIENCE_SECONDS = 2.0
_AFTER_TROUBLE_SECONDS = 5.0

logger = logging.getLogger(__name__)


def drain(runtime: Runtime) -> hints.Drained:
    """Handle the deliveries that are due, and keep how the systems were found that were asked."""
    began = time.monotonic()
    try:
        done = hints.drain(
            runtime.engine,
            runtime.psa,
            runtime.scope,
            now=runtime.clock(),
            fetch_others=partial(hinted_objects.fetch, runtime),
        )
        work_log.drained(done, seconds=time.monotonic() - began)
        return done
    finally:
        connections.note_sources(runtime)


def work(runtime: Runtime, stop: threading.Event) -> None:
    """Drain deliveries until `stop` is set, woken by each commit of a delivery. Trouble is waited out."""
    while not stop.is_set():
        try:
            with psycopg.connect(runtime.server.url(OPERATIONAL_DATABASE), autocommit=True) as listener:
                listener.execute(f"LISTEN {CHANNEL}")
                while not stop.is_set():
                    drain(runtime)
                    for _ in listener.notifies(timeout=_PATIENCE_SECONDS, stop_after=1):
                        pass
        except (psycopg.Error, SQLAlchemyError) as error:
            # The message of a driver can repeat parameters; its type says enough.
            logger.warning("the hint worker lost PostgreSQL (%s) and tries again", type(error).__name__)
            stop.wait(_AFTER_TROUBLE_SECONDS)
