"""What an hour costs the customer and its employer, by trying every rate there is against the stated precedence."""

import datetime as dt
from fractions import Fraction

from psa_erp_assets.domain.records import Contract, Employee, Project, RateCardLine, TimeEntry
from psa_erp_assets_tests.oracle.world import World, fx, holds_on, to_digits


def bill_rate(
    world: World, contract: Contract, project: Project, employee: Employee, entry: TimeEntry
) -> Fraction | None:
    """An hour's effective rate to four digits, half to even; None where none holds or it is in another currency."""
    terms, on = contract.terms.pricing, entry.service_date
    found: list[tuple[tuple[object, ...], Fraction, str]] = []
    if terms.blended_rate is not None:
        found.append(((0,), Fraction(terms.blended_rate.amount), terms.blended_rate.currency))
    for rate in world.bill_rates:
        mine = rate.project_id == project.id and rate.employee_id in (None, employee.id)
        if mine and holds_on(rate.valid_from, rate.valid_to, on):
            row = 2 if rate.employee_id else 4
            rank = (row, 0, (), -rate.valid_from.toordinal(), rate.id)
            found.append((rank, Fraction(rate.per_hour.amount), rate.per_hour.currency))
    for line in world.rate_cards:
        named = _names(line, project, employee, entry.task)
        if named is None or not holds_on(line.valid_from, line.valid_to, on):
            continue
        if line.contract_id == contract.id:
            row = 1
        elif line.contract_id is None and line.card == terms.rate_card:
            row = 3 if line.project_id else 5
        else:
            continue
        rank = (row, -sum(named), tuple(not n for n in named), -line.valid_from.toordinal(), line.id)
        found.append((rank, Fraction(line.per_hour.amount), line.per_hour.currency))
    if not found:
        return None
    _, per_hour, currency = min(found, key=lambda candidate: candidate[0])
    if currency != contract.currency:
        return None
    for work_type in set(entry.work_types):
        per_hour *= Fraction(terms.multipliers.get(work_type, 1))
    return to_digits(per_hour * (1 - Fraction(terms.discount)), 4, half_up=False)


def cost_rate(world: World, employee: Employee, selling: str, currency: str, on: dt.date) -> Fraction | None:
    """What an hour costs in a currency: HR's rate, with the mark-up where another entity employs them."""
    known = [r for r in world.cost_rates if r.employee_id == employee.id and holds_on(r.valid_from, r.valid_to, on)]
    if not known:
        return None
    rate = min(known, key=lambda r: (-r.valid_from.toordinal(), r.id))
    into = fx(world.fx_rates, rate.per_hour.currency, currency, on)
    if into is None:
        return None
    factor = 1 if employee.legal_entity == selling else 1 + Fraction(world.mark_up)
    return Fraction(rate.per_hour.amount) * factor * into


def _names(line: RateCardLine, project: Project, employee: Employee, task: str | None) -> tuple[bool, ...] | None:
    """Which of project, task, person and role the line names, or None where one of them is another."""
    pairs = (
        (line.project_id, project.id),
        (line.task, task),
        (line.employee_id, employee.id),
        (line.role, employee.role),
    )
    if any(asked is not None and asked != there for asked, there in pairs):
        return None
    return tuple(asked is not None for asked, _ in pairs)
