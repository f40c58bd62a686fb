"""Workers that take turns on one thread, in an order and at times drawn from the seed.

A worker gives up its turn at the engine's boundaries and while it waits for the ERP. There it may also be killed, or
sleep for so long that its leases expire: a zombie.
"""

import datetime as dt
import random
from collections.abc import Callable

import greenlet

START = dt.datetime(2026, 10, 5, 6, 0, tzinfo=dt.UTC)
_STUCK = 200_000


class Crash(BaseException):
    """The worker's process was killed. No error: like KeyboardInterrupt, nothing in the program may catch it."""


class Scheduler:
    """The clock and whose turn it is. `before_turn` is called whenever time has passed."""

    def __init__(self, rng: random.Random, note: Callable[[str], None]) -> None:
        self._rng, self._note = rng, note
        self._now = START
        self._hub = greenlet.getcurrent()
        self._workers: dict[str, greenlet.greenlet] = {}
        self._wake_at: dict[str, dt.datetime] = {}
        self._turn = ""
        self.before_turn: Callable[[], None] = lambda: None
        self.crash_rate = 0.0
        self.sleep_rate = 0.0

    def now(self) -> dt.datetime:
        """The simulated time."""
        return self._now

    def spawn(self, name: str, body: Callable[[], None]) -> None:
        """Start a worker; its body must not end."""
        self._workers[name] = greenlet.greenlet(body, parent=self._hub)
        self._wake_at[name] = self._now

    def sleep(self, seconds: float) -> None:
        """Give up the turn for so long, and perhaps for ever."""
        self.wait_until(self._now + dt.timedelta(seconds=seconds))

    def wait_until(self, at: dt.datetime) -> None:
        """Give up the turn until then; the worker may be killed meanwhile."""
        me = self._turn
        self._wake_at[me] = at
        self._hub.switch()
        if self._rng.random() < self.crash_rate:
            self._note(f"{me} is killed")
            raise Crash

    def boundary(self, name: str) -> None:
        """Give up the turn between two steps; the worker may oversleep its leases."""
        pause = 0.0
        if self._rng.random() < self.sleep_rate:
            pause = self._rng.choice((30.0, 200.0, 900.0))
            self._note(f"{self._turn} falls asleep for {pause:.0f} s at {name}")
        self.sleep(pause)

    def run_for(self, seconds: float) -> None:
        """Let the workers work for so long."""
        until = self._now + dt.timedelta(seconds=seconds)
        for _ in range(_STUCK):
            awake = [name for name, at in self._wake_at.items() if at <= self._now]
            if awake:
                self._now += dt.timedelta(seconds=self._rng.uniform(0, 0.2))
            else:
                self._now = min(*self._wake_at.values(), until)
            if self._now >= until:
                return
            self.before_turn()
            if awake:
                self._turn = self._rng.choice(awake)
                self._workers[self._turn].switch()
        raise AssertionError("the workers make no progress")

    def stop(self) -> None:
        """End all workers, so that nothing of the history outlives it."""
        for worker in self._workers.values():
            worker.throw(greenlet.GreenletExit)
