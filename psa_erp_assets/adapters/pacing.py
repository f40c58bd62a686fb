"""Pacing: how fast one connection may send, how often it may try again, and when it is left alone."""

import enum
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

    @property
    def rate(self) -> float:
        """Requests a second in the long run."""
        return self._rate

    def left(self) -> int:
        """How many requests could go at once now; below nothing as many as wait."""
        with self._lock:
            return int(min(self._burst, self._tokens + (self._clock() - self._seen_at) * self._rate))


class RetryBudget:
    """How many requests may be tried again: a share of those that were made, so that trouble is not multiplied.

    Each request adds `share` of a retry, up to `most`, which is also what there is at first.
    """

    def __init__(self, *, share: float = 0.2, most: int = 20) -> None:
        if not 0 < share <= 1 or most < 1:
            raise ValueError("a retry budget needs a share of at most one and room for at least one retry")
        self._share, self._most, self._left = share, most, float(most)
        self._lock = threading.Lock()

    def earn(self) -> None:
        """A request is made."""
        with self._lock:
            self._left = min(self._most, self._left + self._share)

    def spend(self) -> bool:
        """Take one retry; false if there is none, and then the failure stands."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True

    def left(self) -> int:
        """Retries that may be made now."""
        return int(self._left)


class CircuitState(enum.StrEnum):
    """Whether requests leave."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Circuit:
    """Stops asking a system that gives no answers: after so many failures in a row nothing leaves for `rest` seconds.

    After that one request may; its outcome closes the circuit or opens it again for twice as long, up to `longest`.
    Safe to share between threads.
    """

    def __init__(
        self,
        *,
        failures: int = 3,
        rest: float = 10.0,
        longest: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._threshold, self._first_rest, self._longest, self._clock = failures, rest, longest, clock
        self._failures, self._rest = 0, rest
        self._open_until: float | None = None
        self._trying = False
        self._lock = threading.Lock()

    @property
    def state(self) -> CircuitState:
        """Where it stands."""
        with self._lock:
            if self._open_until is None:
                return CircuitState.CLOSED
            return CircuitState.HALF_OPEN if self._clock() >= self._open_until else CircuitState.OPEN

    def admits(self) -> bool:
        """Whether a request may leave now. Its outcome must be told."""
        with self._lock:
            if self._open_until is None:
                return True
            if self._clock() < self._open_until or self._trying:
                return False
            self._trying = True
            return True

    def succeeded(self) -> None:
        """The system answered, whatever it said."""
        with self._lock:
            self._failures, self._rest, self._open_until, self._trying = 0, self._first_rest, None, False

    def failed(self) -> None:
        """It gave no answer."""
        with self._lock:
            self._failures += 1
            if self._trying:
                self._rest = min(self._rest * 2, self._longest)
            if self._trying or self._failures >= self._threshold:
                self._open_until = self._clock() + self._rest
            self._trying = False
