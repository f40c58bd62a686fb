"""A company with a large reversal that waits for an approver, and a console at which several people look at it."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from fastapi import Request
from sqlalchemy import Engine

from psa_erp_assets.adapters.store import erp_documents
from psa_erp_assets.console.access import Visitor
from psa_erp_assets.domain.access import Actor, Grant, Role
from psa_erp_assets.domain.approval import ApprovalRule
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.plan import Action
from psa_erp_assets.domain.values import replace
from psa_erp_assets.services import sync
from psa_erp_assets.services.runtime import Runtime
from psa_erp_assets_tests.support.console import CSRF, make_app, served
from psa_erp_assets_tests.support.facts import CONTRACT, PROJECT, TENANT, bill_rate, make_master, money
from psa_erp_assets_tests.support.punctual_erp import PunctualErp, SetClock, open_store_runtime
from psa_erp_assets_tests.support.store import SCOPE, keep_master, psa_payload, receive

PARTITION = ("UK", "2026-09")
ENTRY, STRAY = "time_entry:clockify:e1", "time_entry:clockify:stray"
RULE = ApprovalRule(
    name="large reversals", action=Action.REVERSE, effect_type=EffectType.BILLING_LINE, above=money("500.00")
)
PEOPLE = {
    "olga": frozenset({Grant(Role.OPERATOR), Grant(Role.APPROVER)}),
    "ada": frozenset({Grant(Role.APPROVER)}),
    "vic": frozenset({Grant(Role.VIEWER)}),
    "uma": frozenset({Grant(Role.OPERATOR, "US"), Grant(Role.APPROVER, "US")}),
}
MASTER = make_master(
    contracts=(CONTRACT, replace(CONTRACT, id="CTR-0002")),
    projects=(PROJECT, replace(PROJECT, id="PRJ-0002", code="PRJ-0002", psa_id="p2", contract_id="CTR-0002")),
    bill_rates=(bill_rate(), bill_rate(id="PRJ-0002/*", project_id="PRJ-0002")),
)


async def gate(request: Request) -> Visitor:
    """Whoever a cookie or a header names."""
    name = request.cookies.get("who") or request.headers.get("x-who", "olga")
    return Visitor(actor=Actor(id=name, name=name, grants=PEOPLE[name]), csrf=CSRF)


@dataclass(slots=True)
class PlanDesk:
    """The address of the console, and what is behind it."""

    address: str
    runtime: Runtime
    erp: PunctualErp

    @property
    def clock(self) -> SetClock:
        """The clock of both."""
        assert isinstance(self.runtime.clock, SetClock)
        return self.runtime.clock


@contextmanager
def plan_desk(engine: Engine, home: Path) -> Iterator[PlanDesk]:
    """Ten hours of e1 were billed on a paid invoice, and turned out to be one: the reversal has not been planned yet.

    An hour of e2 stands on the same invoice; an hour of somebody unknown is held, in two plans that were applied.
    """
    keep_master(engine, MASTER)
    receive(engine, psa_payload("e1", 600), psa_payload("e2", 60, project_id="p2"), psa_payload("stray", user_id="u9"))
    erp = PunctualErp()
    with open_store_runtime(engine, home, erp, replace(SCOPE, approvals=(RULE,))) as runtime:
        clock = runtime.clock
        assert isinstance(clock, SetClock)
        for _ in range(2):
            clock.later()
            sync.sync_partition(runtime, PARTITION, created_by="dagster run 1")
        erp.invoice()
        mirror(engine, erp, clock.later())
        receive(engine, psa_payload("e1", 60), now=clock.later())
        app = make_app(engine, scope=runtime.scope, gate=gate, clock=clock, dagster_url=None)
        with served(app) as address:
            yield PlanDesk(address, runtime, erp)


def mirror(engine: Engine, erp: PunctualErp, now: dt.datetime) -> None:
    """What the ERP holds is read; its invoice is half paid."""
    documents = list(erp.documents.values())
    lines = [d for d in documents if d.effect_type is EffectType.BILLING_LINE]
    net = sum((d.amount.amount for d in lines), Decimal(0))
    company = lines[0].erp_company
    with engine.begin() as connection:
        erp_documents.refresh(connection, TENANT, documents, now)
        erp_documents.replace_invoices(
            connection,
            tenant=TENANT,
            erp_company=company,
            rows=[
                {
                    "erp_id": "12",
                    "number": "INV-1",
                    "party": "70",
                    "invoice_date": dt.date(2026, 10, 1),
                    "currency": lines[0].amount.currency,
                    "net": net,
                    "tax": Decimal(0),
                    "total": net,
                    "open_amount": net / 2,
                    "lines": len(lines),
                    "state": "posted",
                }
            ],
            now=now,
        )
        erp_documents.replace_payments(
            connection,
            tenant=TENANT,
            erp_company=company,
            rows=[
                {
                    "erp_id": "901",
                    "invoice_id": "12",
                    "number": "PAY-7",
                    "paid_on": dt.date(2026, 10, 3),
                    "amount": net / 2,
                    "currency": lines[0].amount.currency,
                }
            ],
            now=now,
        )
