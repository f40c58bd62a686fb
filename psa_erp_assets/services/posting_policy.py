"""What the posting engine is told and what it tells: its policy, its boundaries and its report."""

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from psa_erp_assets.domain.back_pressure import WaitBounds
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.posting import UNDER_WAY, WAITS_FOR_HUMAN, Event, State
from psa_erp_assets.domain.posting_look_up import Patience

BOUNDARIES = (
    "before_promote",
    "after_promote",
    "before_intent",
    "after_intent",
    "before_send",
    "after_answer",
    "before_split",
    "before_confirm_commit",
    "after_confirm",
    "before_look_up",
    "after_look_up",
    "after_look_up_commit",
    "before_surplus",
    "after_surplus",
    "before_verify",
    "after_verify",
    "after_verify_commit",
)
"""Every point at which the engine may be killed, in the order of a posting's life. Between `after_verify_commit` of
a reversal and `after_promote` lies the moment in which a line has neither its old billing nor its new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePolicy:
    """Limits of the posting engine.

    `request_timeout` is the total deadline of one call, which the connector keeps; `horizon` the ERP's longest
    execution time, after which a call that it has not committed never will be; `lease` a worker's right to a
    posting. `margin` is what must be left of the lease beyond a call's deadline: a call that starts with less is not
    made, so that no call outlives its worker's right to make it. `look_up_size` is how many keys one look-up asks
    for; `unreachable_wait` how long an ERP that gives no usable answer is left alone.
    """

    batch_sizes: Mapping[EffectType, int] = field(default_factory=lambda: dict.fromkeys(EffectType, 200))
    request_timeout: dt.timedelta = dt.timedelta(seconds=60)
    horizon: dt.timedelta = dt.timedelta(seconds=120)
    lease: dt.timedelta = dt.timedelta(seconds=180)
    margin: dt.timedelta = dt.timedelta(seconds=5)
    look_up_size: int = 500
    patience: Patience = field(
        default_factory=lambda: Patience(
            misses_needed=2,
            attempts=10,
            spacing=dt.timedelta(seconds=15),
            resend_after=dt.timedelta(0),
            reread_after=dt.timedelta(hours=1),
        )
    )
    waits: WaitBounds = field(
        default_factory=lambda: WaitBounds(
            shortest=dt.timedelta(seconds=1), longest=dt.timedelta(minutes=5), unsaid=dt.timedelta(seconds=10)
        )
    )
    unreachable_wait: dt.timedelta = dt.timedelta(seconds=30)

    def __post_init__(self) -> None:
        if self.request_timeout + self.margin >= self.lease:
            raise ValueError("the request's deadline and the margin must fit into the lease")
        if self.patience.misses_needed < 2:
            raise ValueError("one miss proves nothing: at least two are needed")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanyPressure:
    """How an ERP company was found in a run: postings a request, as (now, at most) by effect type, until when it is
    left alone, how many postings were throttled, whether it answered, and the code of what is wrong with it.
    """

    limits: Mapping[str, tuple[int, int]]
    resumes_at: dt.datetime | None
    throttled: int
    answered: bool
    trouble: str | None


@dataclass(slots=True, kw_only=True)
class EngineReport:
    """What a run of the engine did and what it left.

    `events` counts what happened to postings, `requests` the calls that could change the ERP, `look_ups` those that
    could not, `refused` the postings whose outcome was thrown away because another worker had taken them over.
    `pressure` is how each company was found. `states` is where the postings of the companies stand at the end, `paused`
    why a company's sending has
    stopped, and `next_due` when there is something to do again, None if only a person can do it.
    """

    events: Counter[Event] = field(default_factory=Counter)
    requests: int = 0
    look_ups: int = 0
    refused: int = 0
    states: Mapping[State, int] = field(default_factory=dict)
    paused: dict[str, str] = field(default_factory=dict)
    next_due: dt.datetime | None = None
    pressure: Mapping[str, CompanyPressure] = field(default_factory=dict)

    @property
    def under_way(self) -> int:
        """Postings that the engine will still move on."""
        return sum(n for state, n in self.states.items() if state in UNDER_WAY)

    @property
    def waiting_for_human(self) -> int:
        """Postings that somebody must look at."""
        return sum(n for state, n in self.states.items() if state in WAITS_FOR_HUMAN)
