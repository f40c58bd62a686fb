"""Workers that live as long as the server: started with it, asked to stop with it, and watched meanwhile."""

import logging
import threading
from collections.abc import Callable, Sequence

from psa_erp_assets.adapters.logs import say
from psa_erp_assets.domain.log_events import LogEvent

Worker = Callable[[threading.Event], None]
"""Works until the event is set, then returns soon. It handles its own faults; an exception ends it for good."""

STOP_SECONDS = 30.0

logger = logging.getLogger(__name__)


class Background:
    """Threads of one server."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self._stop = threading.Event()
        # Daemons, so that a worker that does not stop cannot keep the process from ending.
        self._threads = [
            threading.Thread(target=self._run, args=(worker,), name=f"background-{number}", daemon=True)
            for number, worker in enumerate(workers)
        ]

    def start(self) -> None:
        """Start every worker, once."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ask every worker to stop and wait for it, all together no longer than `STOP_SECONDS`."""
        self._stop.set()
        for thread in self._threads:
            thread.join(STOP_SECONDS / len(self._threads))
            if thread.is_alive():
                logger.error("%s did not stop in time", thread.name)

    @property
    def all_alive(self) -> bool:
        """False once a worker has ended that nobody asked to stop."""
        return all(thread.is_alive() for thread in self._threads)

    @property
    def counts(self) -> tuple[int, int]:
        """How many workers should live, and how many do."""
        return len(self._threads), sum(thread.is_alive() for thread in self._threads)

    def _run(self, worker: Worker) -> None:
        try:
            worker(self._stop)
        except Exception as error:  # noqa: BLE001 - it is said, and /healthz and the metrics show it
            say(LogEvent.WORKER_DIED, level=logging.ERROR, worker=threading.current_thread().name, caught=error)
