"""The demo company's contracts that are more than hours at the PSA's rates: terms, amendments and milestones.

What belongs here: who agreed what with whom. What does not: the work itself (`company_entries`), and what follows from
the terms, which nobody here works out. Amounts are round because people agreed on them.
"""

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.terms import MAIN
from psa_erp_assets.sandbox.company_master import T_AND_M, MasterData
from psa_erp_assets.sandbox.company_model import DemoContract, DemoMilestone, DemoProject

RATE_CARD_CONTRACT = "CTR-0016"
"""Priced by a rate card, so that its projects have no rates in the PSA; its people work overtime and travel."""

MOVED_CONTRACT = "CTR-0038"
"""A contract that another legal entity sells from the middle of the last month on.

That entity's books have an account for its project too. One cap is for both.
"""

DISPUTED_CONTRACT = "CTR-0032"
"""Time and materials, of which the customer disputes some hours after the invoice."""

LATE_AMENDMENT = "CTR-0017-A1"
"""Agreed from the middle of the first month on, and signed only when that month is invoiced."""

REOPENED_MILESTONE = "70000010"
"""The milestone that turns out not to be accepted after its invoice is posted: a credit that needs an approval."""

_FIRST_DEAL = 31_990_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreements:
    """All deals, the projects that they cover, and the milestones of the fixed fees."""

    contracts: tuple[DemoContract, ...]
    projects: tuple[DemoProject, ...]
    milestones: tuple[DemoMilestone, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """What a contract says. With an `end` it runs from the first month on to that day, else as it was."""

    kind: str = T_AND_M
    says: Mapping[str, Any] = field(default_factory=dict)
    end: dt.date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """What is agreed otherwise from a day on; None is as before."""

    of: str
    start: dt.date
    says: Mapping[str, Any] | None = None
    customer: str | None = None
    legal_entity: str | None = None
    end: dt.date | None = None
    signed: bool = True


def agree(months: Sequence[ServiceMonth], master: MasterData) -> Agreements:
    """The deals as they are at the start of the demo.

    Months of fees end with the month after the last one, so that the demo bills the same whenever it is played.
    """
    terms = _terms(months[0], months[-1])
    contracts = tuple(_agreed(c, terms[c.code], months[0]) if c.code in terms else c for c in master.contracts)
    by_code = {c.code: c for c in contracts}
    amendments = tuple(
        _amendment(n, by_code[change.of], change) for n, change in enumerate(_changes(months[0], months[-1]), start=1)
    )
    projects = tuple(_by_card(p) if p.contract == RATE_CARD_CONTRACT else p for p in master.projects)
    moved = {a.amends: a.legal_entity for a in amendments if a.legal_entity != by_code[str(a.amends)].legal_entity}
    projects = tuple(replace(p, also_in=(moved[p.contract],)) if p.contract in moved else p for p in projects)
    return Agreements(
        contracts=contracts + amendments,
        projects=projects,
        milestones=tuple(_milestones(months[0], months[-1], by_code)),
    )


def _terms(first: ServiceMonth, last: ServiceMonth) -> dict[str, _Terms]:
    """By contract: one of each kind and of each way to price an hour, and some of the ways to earn revenue."""
    over, following = last.last_day, last.next().last_day

    def instalments(*due: tuple[dt.date, str, str]) -> list[dict[str, str]]:
        return [{"due": on.isoformat(), "amount": amount, "label": label} for on, amount, label in due]

    return {
        # Not to exceed, three ways: what is over waits for somebody, is written off, or waits for a higher cap.
        "CTR-0003": _Terms(kind="capped", says={"cap": "20000.00"}, end=over),
        "CTR-0004": _Terms(kind="capped", says={"cap": "30000.00", "cap_overage": "write_off"}, end=over),
        "CTR-0005": _Terms(kind="capped", says={"cap": "8000.00"}, end=over),
        MOVED_CONTRACT: _Terms(kind="capped", says={"cap": "10000.00"}, end=over),
        # Fixed fees by milestone: earned with each of them, or with the cost.
        "CTR-0008": _Terms(
            kind="fixed_fee_milestone",
            says={"fee": "40000.00", "recognition": {"method": "milestone"}},
            end=following,
        ),
        "CTR-0030": _Terms(
            kind="fixed_fee_milestone",
            says={
                "fee": "150000.00",
                "recognition": {
                    "method": "cost_to_cost",
                    "estimate": {"total_cost": "30000.00"},
                    "percent_digits": 3,
                },
            },
            end=following,
        ),
        # Fixed fees by schedule: earned day by day, hour by hour, or with the cost of work that will make a loss.
        "CTR-0009": _Terms(
            kind="fixed_fee_schedule",
            says={
                "fee": "24000.00",
                "instalments": instalments(
                    (first.first_day, "12000.00", "Start"), (following.replace(day=2), "12000.00", "Last quarter")
                ),
                "recognition": {"method": "straight_line"},
            },
            end=following,
        ),
        "CTR-0019": _Terms(
            kind="fixed_fee_schedule",
            says={
                "fee": "9000.00",
                "instalments": instalments(
                    (first.first_day.replace(day=15), "4500.00", "First half"),
                    (last.first_day.replace(day=15), "4500.00", "Second half"),
                ),
                "recognition": {"method": "hours", "estimate": {"total_minutes": 4800}},
            },
            end=over,
        ),
        "CTR-0013": _Terms(
            kind="fixed_fee_schedule",
            says={
                "fee": "40000.00",
                "instalments": instalments(
                    (first.last_day, "20000.00", "Half time"), (last.last_day, "20000.00", "Acceptance")
                ),
                "recognition": {"method": "cost_to_cost", "estimate": {"total_cost": "52000.00"}},
            },
            end=following,
        ),
        # Retainers: hours of the first month are left for the second, where more are needed; and one that runs out.
        "CTR-0033": _Terms(
            kind="retainer",
            says={
                "retainer": {"fee": "9500.00", "included_minutes": 3960, "rollover_months": 2, "overage": "bill"},
            },
            end=over,
        ),
        "CTR-0010": _Terms(
            kind="retainer",
            says={"retainer": {"fee": "1800.00", "included_minutes": 540, "overage": "hold"}},
            end=over,
        ),
        "CTR-0007": _Terms(
            kind="mixed",
            says={
                "components": [
                    {
                        "code": "build",
                        "kind": "fixed_fee_milestone",
                        "projects": ["PRJ-0010"],
                        "fee": "30000.00",
                        "recognition": {"method": "cost_to_cost", "estimate": {"total_cost": "20000.00"}},
                    },
                    {"code": "support", "kind": T_AND_M},
                ]
            },
            end=following,
        ),
        # Time and materials, priced and rounded otherwise.
        RATE_CARD_CONTRACT: _Terms(
            says={
                "rate_card": "standard-2026-usd",
                "discount": "0.05",
                "increment_minutes": 15,
                "multipliers": {"overtime": "1.5", "travel": "0.5"},
            }
        ),
        "CTR-0018": _Terms(says={"blended_rate": "124.50"}),
        "CTR-0023": _Terms(says={"rounding": "cumulative"}, end=over),
        # Expenses: as the receipt says up to a limit, with a mark-up, or not passed on.
        "CTR-0029": _Terms(says={"expenses": {"limits": {"Lodging": "180.00"}}}),
        "CTR-0039": _Terms(says={"expenses": {"mark_up": "0.05"}}),
        "CTR-0012": _Terms(says={"expenses": {"billable": False}}),
        # Until an amendment lets it go on.
        "CTR-0028": _Terms(end=last.first_day.replace(day=15)),
    }


def _changes(first: ServiceMonth, last: ServiceMonth) -> tuple[_Change, ...]:
    twelfth = last.first_day.replace(day=12)
    return (
        _Change(of="CTR-0005", start=last.first_day, says={"cap": "24000.00"}),
        _Change(of="CTR-0024", start=twelfth, says={"blended_rate": "158.00"}),
        _Change(of="CTR-0028", start=last.first_day, end=dt.date(last.year, 12, 31)),
        _Change(of="CTR-0027", start=twelfth, customer="CUS-0012"),
        _Change(of=MOVED_CONTRACT, start=twelfth, legal_entity="DE"),
        _Change(of="CTR-0017", start=first.first_day.replace(day=14), says={"discount": "0.10"}, signed=False),
    )


def _milestones(
    first: ServiceMonth, last: ServiceMonth, contracts: Mapping[str, DemoContract]
) -> Iterator[DemoMilestone]:
    following = last.next()
    # The extra reports come to more than what the fee leaves.
    plan = (
        ("CTR-0008", MAIN, "Design accepted", first.first_day.replace(day=18), "12000", "completed"),
        ("CTR-0008", MAIN, "Build accepted", last.first_day.replace(day=16), "16000", "completed"),
        ("CTR-0008", MAIN, "Extra reports", last.first_day.replace(day=23), "14000", "completed"),
        ("CTR-0008", MAIN, "Handover", following.first_day.replace(day=20), "12000", "not started"),
        ("CTR-0007", "build", "Prototype", first.first_day.replace(day=22), "10000", "completed"),
        ("CTR-0007", "build", "Pilot", last.first_day.replace(day=19), "10000", "completed"),
        ("CTR-0007", "build", "Go-live", following.first_day.replace(day=17), "10000", "started"),
        ("CTR-0030", MAIN, "Hypercare", following.first_day.replace(day=18), "50000", "not started"),
        ("CTR-0030", MAIN, "Second plant", last.first_day.replace(day=20), "50000", "completed"),
        ("CTR-0030", MAIN, "First plant", first.first_day.replace(day=25), "50000", "completed"),
    )
    for n, (contract, component, title, due, amount, state) in enumerate(plan, start=1):
        yield DemoMilestone(
            contract=contract,
            component=component,
            title=title,
            due=due,
            amount=Decimal(amount),
            currency=contracts[contract].currency,
            psa_id=str(70_000_000 + n),
            state=state,
        )


def _agreed(contract: DemoContract, terms: _Terms, first: ServiceMonth) -> DemoContract:
    text = json.dumps(terms.says) if terms.says else None
    start, end = (contract.start, contract.end) if terms.end is None else (first.first_day, terms.end)
    return replace(contract, kind=terms.kind, billing_terms=text, start=start, end=end)


def _amendment(number: int, contract: DemoContract, change: _Change) -> DemoContract:
    return replace(
        contract,
        code=f"{contract.code}-A1",
        name=f"{contract.name}, amendment",
        customer=change.customer or contract.customer,
        legal_entity=change.legal_entity or contract.legal_entity,
        start=change.start,
        end=change.end,
        signed=change.signed,
        crm_id=str(_FIRST_DEAL + 2_741 * number),
        billing_terms=None if change.says is None else json.dumps(change.says),
        amends=contract.code,
    )


def _by_card(project: DemoProject) -> DemoProject:
    return replace(project, rate=None, staff=dict.fromkeys(project.staff))
