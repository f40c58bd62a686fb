"""What takes longer than somebody waits for a page: it is computed beside the requests, and asked for again.

What belongs here: waiting a little, and keeping a result for a while. What does not: what is computed.
"""

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

PATIENCE_SECONDS = 4.0
"""How long a request waits for a result before it says that it is still being computed."""
MOST_SECONDS = 120.0
"""How long one computation may go on; it then answers with what it has."""
KEPT_SECONDS = 600.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """`value` is the result, None while it is being computed or where that failed; `at` is when it was begun."""

    value: Any
    at: dt.datetime
    failed: bool


@dataclass(slots=True)
class _Job:
    at: dt.datetime
    started: float
    done: threading.Event = field(default_factory=threading.Event)
    value: Any = None
    failed: bool = False


class Bench:
    """Results by name. One is computed at a time, so that nobody's requests slow down the sync; equal ones share it."""

    def __init__(
        self, clock: Callable[[], dt.datetime], *, patience: float = PATIENCE_SECONDS, kept: float = KEPT_SECONDS
    ) -> None:
        self._clock, self._patience, self._kept = clock, patience, kept
        self._jobs: dict[Hashable, _Job] = {}
        self._lock, self._turn = threading.Lock(), threading.Semaphore(1)

    def ask(self, name: Hashable, compute: Callable[[Callable[[], bool]], Any], *, anew: bool = False) -> Answer:
        """The result of `compute`, which is begun where none of this name is kept or `anew` is asked for.

        `compute` is handed a question that it asks now and then: whether it may go on.
        """
        with self._lock:
            self._forget_old()
            job = self._jobs.get(name)
            if job is None or (anew and job.done.is_set()):
                job = self._jobs[name] = _Job(self._clock(), time.monotonic())
                threading.Thread(target=self._run, args=(job, compute), name="bench", daemon=True).start()
        job.done.wait(self._patience)
        return Answer(job.value, job.at, job.failed)

    def _run(self, job: _Job, compute: Callable[[Callable[[], bool]], Any]) -> None:
        try:
            with self._turn:
                end = time.monotonic() + MOST_SECONDS
                job.value = compute(lambda: time.monotonic() < end)
        except Exception as error:  # noqa: BLE001 - whoever asked is told that it failed
            # Not the error's text, which can repeat business data.
            logger.warning("a computation failed: %s", type(error).__name__)
            job.failed = True
        finally:
            job.done.set()

    def _forget_old(self) -> None:
        oldest = time.monotonic() - self._kept
        for name, job in list(self._jobs.items()):
            if job.done.is_set() and (job.failed or job.started < oldest):
                del self._jobs[name]
