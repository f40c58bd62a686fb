"""The month's approved facts: time, about two in a hundred expenses, and the milestones of fixed fees.

Deterministic: the same seed and number give the same facts. About two in a hundred miss something in the master data:
a person whom HR does not know or has no cost rate for, no project, or a customer that the ERP does not know.
"""

import datetime as dt
import random
from collections.abc import Iterator, Sequence
from decimal import Decimal

from psa_erp_assets.benchmarks.world import MONTH, SEED, World
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.records import ApprovalState, Expense, Milestone, TimeEntry, WorkItem
from psa_erp_assets.domain.terms import ContractKind

_SHARE_OF_EXPENSES = 50  # one in so many facts
_NO_PROJECT, _UNKNOWN_PERSON, _NOT_BILLABLE = 0.003, 0.01, 0.04
_UNKNOWN_PEOPLE = 4
_UTC_OFFSETS = {"US": -4, "UK": 1, "DE": 2, "AU": 10}
_MINUTES = (10, 15, 20, 25, 30, 37, 45, 50, 60, 75, 90, 120, 150, 185, 240)
_TASKS = (None, None, "Discovery", "Build", "Build", "Test", "Training", "Support")
_WORK_TYPES: tuple[tuple[str, ...], ...] = (*[()] * 10, ("overtime",), ("travel",), ("weekend", "travel"))
_VERBS = ("Reviewed", "Prepared", "Analyzed", "Built", "Tested", "Discussed", "Documented", "Corrected", "Planned")
_THINGS = (
    "the interface to the warehouse system", "the chart of accounts", "monthly closing reports",
    "the migration of open orders", "access rights of regional users", "the price list for next year",
    "requirements for the customer portal", "the load test of the order process", "training material",
)  # fmt: skip
_WITH = (
    "with the finance team", "with the project manager", "after feedback from the steering committee",
    "for the pilot in the second region", "before the go-live of phase two", "by e-mail and in two calls",
)  # fmt: skip
_RECEIPTS = ("USD", "GBP", "EUR")
_CATEGORIES = ("Lodging", "Meals", "Airfare", "Taxi")


def make_facts(world: World, number: int, *, payload_id: int, seed: int = SEED) -> Iterator[WorkItem]:
    """So many facts, milestones first, in an order that says nothing."""
    rng = random.Random(seed)  # noqa: S311  # a month that can be repeated, not a secret
    days = [MONTH.first_day + dt.timedelta(days=n) for n in range(MONTH.last_day.day)]
    workdays = [day for day in days if day.weekday() < 5]
    projects = list(world.master.projects)
    weights = [_weight(world, p.contract_id) for p in projects]
    offsets = {e.psa_user_id: _UTC_OFFSETS[e.legal_entity] for e in world.master.employees}
    zones = {e.psa_user_id: e.time_zone for e in world.master.employees}
    milestones = list(_milestones(world, payload_id))[: number // 10]
    yield from milestones
    left = number - len(milestones)
    chosen = rng.choices(projects, weights, k=left)
    for n, project in enumerate(chosen):
        psa_project: str | None = project.psa_id
        user = rng.choice(world.staff[project.psa_id])
        gap = rng.random()
        if gap < _NO_PROJECT:
            psa_project = None
        elif gap < _NO_PROJECT + _UNKNOWN_PERSON:
            user = f"user-gone-{rng.randrange(_UNKNOWN_PEOPLE)}"
        day = rng.choice(workdays)
        object_id = f"{n:08x}{rng.getrandbits(64):016x}"
        if n % _SHARE_OF_EXPENSES == 7:
            yield _expense(rng, object_id, user=user, project=psa_project, day=day, payload_id=payload_id)
            continue
        local = dt.datetime.combine(day, dt.time(8 + rng.randrange(10), rng.randrange(60)), dt.UTC)
        yield TimeEntry(
            id=f"time_entry:clockify:{object_id}",
            revision=1,
            state=ApprovalState.APPROVED,
            psa_user_id=user,
            psa_project_id=psa_project,
            service_date=day,
            minutes=rng.choice(_MINUTES),
            billable=rng.random() >= _NOT_BILLABLE,
            description=_sentence(rng),
            started_at=local - dt.timedelta(hours=offsets.get(user, 0)),
            time_zone=zones.get(user, "UTC"),
            payload_id=payload_id,
            task=rng.choice(_TASKS),
            work_types=rng.choice(_WORK_TYPES),
        )


def _weight(world: World, contract_id: str | None) -> float:
    contract = world.master.contract(contract_id)
    customer = world.master.customer(contract.customer_id) if contract else None
    return 0.1 if customer is None or customer.erp_party is None else 1.0


def _sentence(rng: random.Random) -> str:
    """Some forty to a hundred letters, as people write."""
    return f"{rng.choice(_VERBS)} {rng.choice(_THINGS)} {rng.choice(_WITH)} (#{rng.randrange(10_000)})"


def _expense(
    rng: random.Random, object_id: str, *, user: str, project: str | None, day: dt.date, payload_id: int
) -> Expense:
    receipt, paid_in = rng.choice(_RECEIPTS), rng.choice(_RECEIPTS)
    amount = Decimal(rng.randrange(800, 42_000)) / 100
    # A refund now and then.
    amount = -amount if rng.random() < 0.02 else amount
    return Expense(
        id=f"expense:clockify:{object_id}",
        revision=1,
        state=ApprovalState.APPROVED,
        psa_user_id=user,
        psa_project_id=project,
        service_date=day,
        category=rng.choice(_CATEGORIES),
        receipt=Money(amount, receipt),
        reimbursement=Money(amount, paid_in),
        billable=rng.random() < 0.85,
        description=_sentence(rng),
        payload_id=payload_id,
    )


def _milestones(world: World, payload_id: int) -> Iterator[Milestone]:
    """Three a fixed fee by milestone: two that fit and one that would come to more than the fee."""
    for contract in world.master.contracts:
        for component in contract.terms.components:
            if component.kind is not ContractKind.FIXED_FEE_MILESTONE or component.fee is None:
                continue
            fee = component.fee.amount
            parts: Sequence[tuple[int, Decimal]] = ((8, fee * 25 / 100), (17, fee * 30 / 100), (24, fee * 60 / 100))
            for day, amount in parts:
                yield Milestone(
                    id=f"milestone:kantata:{contract.id}:{component.code}:{day}",
                    revision=1,
                    state=ApprovalState.APPROVED,
                    contract_id=contract.id,
                    component=component.code,
                    service_date=MONTH.first_day.replace(day=day),
                    amount=Money(amount, contract.currency),
                    label=f"Milestone accepted on the {day}th",
                    payload_id=payload_id,
                )
