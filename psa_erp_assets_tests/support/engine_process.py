"""A posting engine in a process of its own, which is killed at one of its boundaries."""

import datetime as dt
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from psa_erp_assets.adapters.connectors.tryton.erp import TrytonErp
from psa_erp_assets.adapters.connectors.tryton.rpc import TrytonRpc
from psa_erp_assets.adapters.store.engine import make_engine
from psa_erp_assets.adapters.store.postings import PgPostingStore
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.erp import Accepted, Ambiguous, Answer, Command, Create, ErpClass, ErpClient, ErpDocument
from psa_erp_assets.services.posting_engine import PostingEngine
from psa_erp_assets.services.posting_policy import EnginePolicy
from psa_erp_assets_tests.support.postings import TENANT

POLICY = EnginePolicy(
    batch_sizes=dict.fromkeys(EffectType, 50),
    request_timeout=dt.timedelta(seconds=40),
    horizon=dt.timedelta(seconds=60),
    lease=dt.timedelta(seconds=90),
)


@dataclass(slots=True)
class ShiftedClock:
    """The machine's clock, some time ahead. Its sleep takes no time, so that leases and horizons pass at once."""

    ahead: dt.timedelta = dt.timedelta(0)

    def __call__(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC) + self.ahead

    def sleep(self, seconds: float) -> None:
        self.ahead += dt.timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the process needs. `kill_at` is the boundary at which it dies, None if something else kills it."""

    store_url: str
    tryton_url: str
    database: str
    user: str
    password: str = field(repr=False)
    erp_company: str
    ahead: dt.timedelta
    kill_at: str | None


class LosesOneAnswer:
    """The way to the ERP, on which the first good answer to a create is lost: the effect is there, unbeknown."""

    def __init__(self, erp: ErpClient) -> None:
        self._erp, self._lost = erp, False

    @property
    def erp_class(self) -> ErpClass:
        return self._erp.erp_class

    def submit(self, commands: Sequence[Command]) -> Answer:
        answer = self._erp.submit(commands)
        if isinstance(answer, Accepted) and isinstance(commands[0], Create) and not self._lost:
            self._lost = True
            return Ambiguous(evidence="the answer was lost on the way")
        return answer

    def look_up(
        self, erp_company: str, effect_type: EffectType, keys: Sequence[str]
    ) -> Mapping[str, Sequence[ErpDocument]]:
        return self._erp.look_up(erp_company, effect_type, keys)


def run(job: Job) -> None:
    """The process's main function."""

    def on_boundary(name: str) -> None:
        if name == job.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    clock = ShiftedClock(job.ahead)
    engine = make_engine(job.store_url)
    with TrytonRpc(job.tryton_url, job.database, job.user, job.password) as rpc:
        PostingEngine(
            PgPostingStore(engine, TENANT),
            LosesOneAnswer(TrytonErp(rpc)),
            clock,
            worker="victim",
            policy=POLICY,
            sleep=clock.sleep,
            on_boundary=on_boundary,
        ).run_until_settled([job.erp_company], patience=dt.timedelta(minutes=10))
    engine.dispose()
