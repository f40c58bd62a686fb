"""How much to send to an ERP that may be overloaded, and how long to wait when it says so."""

import datetime as dt
import math
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveLimit:
    """How many postings one request to an ERP company may carry: additive increase, multiplicative decrease."""

    size: int
    ceiling: int

    def __post_init__(self) -> None:
        if not 1 <= self.size <= self.ceiling:
            raise ValueError(f"a limit of {self.size} is not between 1 and its ceiling of {self.ceiling}")

    def after_clean_window(self) -> "AdaptiveLimit":
        """The ERP took a request without complaint: one more next time."""
        return replace(self, size=min(self.size + 1, self.ceiling))

    def after_overload(self) -> "AdaptiveLimit":
        """Throttled, unavailable or too slow to answer: half as much, but never nothing."""
        return replace(self, size=max(self.size // 2, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitBounds:
    """Within what bounds a wait that an ERP asks for is obeyed, and what it is when the ERP does not say."""

    shortest: dt.timedelta
    longest: dt.timedelta
    unsaid: dt.timedelta

    def obey(self, retry_after: float | None) -> dt.timedelta:
        """The wait for a Retry-After of so many seconds. A negative, infinite or absurd one is brought into bounds."""
        if retry_after is None or math.isnan(retry_after):
            return self.unsaid
        seconds = min(max(retry_after, self.shortest.total_seconds()), self.longest.total_seconds())
        return dt.timedelta(seconds=seconds)
