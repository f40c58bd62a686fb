"""Pacing: how fast one connection may send."""

import threading
import time
from collections.abc import Callable


class TokenBucket:
    """At most `burst` requests at once and `rate` a second in the long run. Safe to share between threads.

    `clock` gives seconds that never run backwards; `sleep` waits for seconds. Tests hand in their own.
    """

    def __init__(
        self,
        *,
        rate: float,
        burst: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if rate <= 0 or burst < 1:
            raise ValueError("a token bucket needs a positive rate and room for at least one token")
        self._rate, self._burst = rate, burst
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._tokens, self._seen_at = float(burst), clock()

    def acquire(self) -> None:
        """Take one token, after waiting for it if need be.

        The token is booked before the wait, and the wait is outside the lock, so that waiting threads queue up
        behind each other's bookings and not on the lock.
        """
        with self._lock:
            now = self._clock()
            self._tokens = min(self._burst, self._tokens + (now - self._seen_at) * self._rate)
            self._seen_at = now
            self._tokens -= 1
            debt = -self._tokens / self._rate
        if debt > 0:
            self._sleep(debt)
