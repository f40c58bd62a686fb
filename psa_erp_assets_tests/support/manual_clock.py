"""Time that passes only when a test says so."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class ManualClock:
    """A monotonic clock whose `sleep` returns at once, moves the time on and is written down."""

    time: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
