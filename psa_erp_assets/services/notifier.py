"""The worker that lives with the console: it tells people of trouble.

It is not a schedule of Dagster: a run costs seconds of a process each time, and the console must run anyway to receive
webhooks. Where several consoles run, they take turns.
"""

import logging
import threading
import time

from sqlalchemy.exc import SQLAlchemyError

from psa_erp_assets.services import notifications, work_log
from psa_erp_assets.services.runtime import Runtime

_ROUND_SECONDS = 15.0
# Where there are very many open exceptions a round takes a while; it then leaves the store alone for so many times as
# long.
_REST = 20

logger = logging.getLogger(__name__)


def work(runtime: Runtime, stop: threading.Event) -> None:
    """Collect and send until `stop` is set. Trouble is said once a round, and the next round tries again."""
    while not stop.is_set():
        began, collected = time.monotonic(), 0.0
        try:
            notifications.collect(runtime.engine, runtime.settings, runtime.scope, now=runtime.clock())
            collected = time.monotonic() - began
            for sent in notifications.deliver(runtime.engine, runtime.settings, clock=runtime.clock):
                work_log.notified(sent)
        except SQLAlchemyError as error:
            # The message of a driver can repeat parameters; its type says enough.
            logger.warning("nobody could be told of anything (%s)", type(error).__name__)
        stop.wait(max(_ROUND_SECONDS, collected * _REST))
