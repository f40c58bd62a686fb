"""The engine's process is killed at every point, against a real PostgreSQL and a real Tryton of both kinds.

After each kill a new process finds in Tryton at most one line under each key, and in the end none is missing.
"""

import datetime as dt
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import httpx
import pytest
from sqlalchemy import Engine, text

from psa_erp_assets.adapters import postgres
from psa_erp_assets.adapters.postgres import ServerInfo
from psa_erp_assets.adapters.store.engine import make_engine
from psa_erp_assets.adapters.store.migrate import migrate
from psa_erp_assets.adapters.store.postings import PgPostingStore
from psa_erp_assets.domain.effects import BillingLine, EffectType
from psa_erp_assets.domain.erp import Accepted, Create
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.posting import Leg, Posting, State
from psa_erp_assets.domain.values import replace
from psa_erp_assets.sandbox.tryton.build import SYNC_USER, Kind
from psa_erp_assets.services.posting_engine import PostingEngine
from psa_erp_assets.services.posting_policy import BOUNDARIES
from psa_erp_assets_tests.support.cutting_proxy import Cut, CuttingProxy
from psa_erp_assets_tests.support.engine_process import POLICY, Job, ShiftedClock, run
from psa_erp_assets_tests.support.postings import TENANT, make_posting
from psa_erp_assets_tests.support.tryton import MakeTryton, RunningTryton

pytestmark = pytest.mark.tryton

# Where the ERP itself refuses a second document under a key, there is never a surplus to remove.
_ONLY_STOCK = ("before_surplus", "after_surplus")
POINTS = [
    (kind, point)
    for kind in Kind
    for point in (*BOUNDARIES, *Cut)
    if not (kind is Kind.COMPANION and point in _ONLY_STOCK)
]
_DAY = dt.date(2026, 9, 14)


@dataclass(slots=True)
class World:
    """A Tryton, a ledger, and the time in which both live."""

    kind: Kind
    tryton: RunningTryton
    server: ServerInfo
    store_url: str
    engine: Engine
    clock: ShiftedClock

    @property
    def store(self) -> PgPostingStore:
        return PgPostingStore(self.engine, TENANT)

    @property
    def company(self) -> str:
        return self.tryton.companies["US"]

    def effect(self, minutes: int = 60, *, party: str | None = None) -> BillingLine:
        return BillingLine(
            erp_company=self.company,
            party=party or self.tryton.parties["CUS-0001"],
            analytic=self.tryton.project("US"),
            employee_name="Ada Jones",
            service_date=_DAY,
            minutes=minutes,
            per_hour=Money(Decimal(60), "USD"),
            amount=Money(Decimal(minutes).quantize(Decimal("0.01")), "USD"),
            tax=None,
            description="workshop",
        )

    def original(self, line: str, effect: BillingLine | None = None, **others: object) -> Posting:
        return make_posting(line, effect=effect or self.effect(), now=self.clock(), **others)

    def settle(self) -> None:
        """A healthy engine works until nothing moves; hours pass in a moment."""
        engine = PostingEngine(
            self.store, self.tryton.erp, self.clock, worker="heir", policy=POLICY, sleep=self.clock.sleep
        )
        report = engine.run_until_settled([self.company], patience=dt.timedelta(hours=1))
        assert report.under_way == 0, report

    def documents(self, postings: list[Posting]) -> dict[str, list[str]]:
        found = self.tryton.erp.look_up(self.company, EffectType.BILLING_LINE, [p.key for p in postings])
        return {key: [d.erp_id for d in documents] for key, documents in found.items()}

    def wait_until_tryton_is_idle(self) -> None:
        """A killed client's request may still be at work in the server."""
        statement = text("SELECT count(*) FROM pg_stat_activity WHERE datname = :name AND state <> 'idle'")
        quiet, deadline = 0, time.monotonic() + 30
        while quiet < 4:
            assert time.monotonic() < deadline, "Tryton does not come to rest"
            with self.engine.connect() as connection:
                busy = connection.execute(statement, {"name": self.tryton.server.database}).scalar_one()
            quiet = 0 if busy else quiet + 1
            time.sleep(0.05)


@pytest.fixture(scope="module")
def worlds(postgres_server: ServerInfo, make_tryton: MakeTryton) -> Iterator[dict[Kind, World]]:
    """One world of each kind, made when it is first needed, with the lines that every point takes back."""
    made: dict[Kind, World] = {}
    yield made
    for world in made.values():
        world.engine.dispose()


@pytest.fixture
def world(
    request: pytest.FixtureRequest, worlds: dict[Kind, World], postgres_server: ServerInfo, make_tryton: MakeTryton
) -> World:
    """The world of the kind that the test asks for."""
    kind: Kind = request.param
    if kind not in worlds:
        name = f"killed_{kind.value}_{os.getpid()}"
        postgres.ensure_database(postgres_server, name)
        url = postgres_server.url(name)
        engine = make_engine(url)
        migrate(engine)
        worlds[kind] = World(kind, make_tryton(kind), postgres_server, url, engine, ShiftedClock())
        _bill_what_is_taken_back(worlds[kind])
    return worlds[kind]


def _bill_what_is_taken_back(world: World) -> None:
    """For each point one draft line and one that finance has put on an invoice."""
    lines = [world.original(f"{name} {point}") for point in _names(world.kind) for name in ("draft", "invoiced")]
    world.store.add(lines, world.clock())
    world.settle()
    invoiced = [p for p in lines if p.object_id.startswith("invoiced")]
    ids = [erp_id for found in world.documents(invoiced).values() for erp_id in found]
    assert len(ids) == len(invoiced)
    world.tryton.finance.invoice_lines(world.company, on=_DAY, line_ids=ids)


def _names(kind: Kind) -> list[str]:
    return [str(point) for of, point in POINTS if of is kind]


@pytest.mark.parametrize(
    ("world", "point"), POINTS, indirect=["world"], ids=[f"{k.value}-{getattr(p, 'name', p)}" for k, p in POINTS]
)
def test_a_kill_loses_nothing_and_doubles_nothing(world: World, point: str | Cut) -> None:
    """A customer billed twice, or not at all, because a process died at the wrong moment."""
    plain = [world.original(f"plain {n} {point}") for n in range(2)]
    refused = world.original(f"refused {point}", world.effect(party="999999"))
    doubled = world.original(f"doubled {point}")
    draft = world.original(f"draft {point}")
    invoiced = world.original(f"invoiced {point}")
    withdrawal = make_posting(leg=Leg.WITHDRAWAL, target=draft, now=world.clock())
    reversal = make_posting(leg=Leg.REVERSAL, target=invoiced, now=world.clock())
    rebills = [
        world.original(f"{name} {point}", world.effect(90), revision=2, depends_on=after)
        for name, after in (("draft", withdrawal), ("invoiced", reversal))
    ]
    # As if a proxy had sent one request twice.
    assert doubled.effect is not None
    assert isinstance(world.tryton.erp.submit([Create(key=doubled.key, effect=doubled.effect)]), Accepted)
    world.store.add([*plain, refused, doubled, withdrawal, reversal, *rebills], world.clock())

    _run_until_killed(world, point)
    world.wait_until_tryton_is_idle()
    once = [*plain, refused, draft, invoiced, reversal, *rebills]
    assert max(len(found) for found in world.documents(once).values()) == 1

    # The dead worker's leases and the ERP's longest execution time have passed.
    world.clock.sleep(200)
    world.settle()
    there = world.documents([*once, doubled])
    assert {k for k, found in there.items() if len(found) == 1} == {
        p.key for p in (*plain, doubled, invoiced, reversal, *rebills)
    }
    assert {k for k, found in there.items() if not found} == {refused.key, draft.key}
    states = {p.key: p.state for p in world.store.of_objects({p.object_id for p in once})}
    assert states == {
        **dict.fromkeys((p.key for p in (*plain, withdrawal, reversal, *rebills)), State.VERIFIED),
        refused.key: State.REJECTED,
        draft.key: State.WITHDRAWN,
        invoiced.key: State.REVERSED,
    }


def _run_until_killed(world: World, point: str | Cut) -> None:
    server = world.tryton.server
    job = Job(
        store_url=world.store_url,
        tryton_url=server.url,
        database=server.database,
        user=SYNC_USER,
        password=server.credentials.passwords[SYNC_USER],
        erp_company=world.company,
        ahead=world.clock.ahead,
        kill_at=None if isinstance(point, Cut) else point,
    )
    if not isinstance(point, Cut):
        _expect_a_kill(_start(job))
        return
    victims: list[multiprocessing.process.BaseProcess] = []
    port = httpx.URL(server.url).port
    assert port is not None
    marker = b"model.account.invoice.line.create"
    with CuttingProxy(port, point, marker, lambda: os.kill(victims[0].pid or 0, signal.SIGKILL)) as proxy:
        victims.append(_start(replace(job, tryton_url=proxy.url)))
        _expect_a_kill(victims[0])
        assert proxy.has_cut


def _start(job: Job) -> multiprocessing.process.BaseProcess:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["psa_erp_assets_tests.support.engine_process"])
    process = context.Process(target=run, args=(job,))
    process.start()
    return process


def _expect_a_kill(process: multiprocessing.process.BaseProcess) -> None:
    process.join(timeout=60)
    assert process.exitcode == -signal.SIGKILL, f"the process ended with {process.exitcode}: the point was not reached"
    process.close()
