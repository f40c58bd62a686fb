"""Generates the demo company's expenses, in the approval requests of the weeks in which they were spent.

Whoever spent money had worked on the project that day. What the receipt says stands in the notes; the amount is what
is paid back, in the PSA's currency.
"""

import datetime as dt
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from psa_erp_assets.domain.calendar import ServiceMonth, service_date
from psa_erp_assets.domain.money import divide, multiply
from psa_erp_assets.sandbox.company_master import hex_id
from psa_erp_assets.sandbox.company_model import (
    DemoApproval,
    DemoExpense,
    DemoProject,
    DemoTimeEntry,
    RequestState,
)

# Units for a US dollar, about what people are paid back at. Nobody quotes the krona in the ERP.
_PER_USD = {"EUR": "0.8537", "GBP": "0.7421", "CHF": "0.7985", "SEK": "9.4", "USD": "1"}


@dataclass(frozen=True, slots=True)
class _Spent:
    """What somebody spent on a contract's project in each month; without a currency the receipt is not stated.

    Mileage is an amount of miles. `note` overrides what the notes begin with.
    """

    contract: str
    category: str
    amount: str
    currency: str | None
    what: str
    billable: bool = True
    state: RequestState = RequestState.APPROVED
    note: str | None = None


_PLAN = (
    # Hotels, of which the contract pays so much a receipt.
    _Spent("CTR-0029", "Lodging", "164.00", "EUR", "hotel, one night"),
    _Spent("CTR-0029", "Lodging", "212.50", "EUR", "hotel, one night"),
    _Spent("CTR-0029", "Meals", "41.30", "EUR", "dinner with the project team"),
    # Flights, passed on with a mark-up.
    _Spent("CTR-0039", "Travel", "612.40", None, "flight to London"),
    _Spent("CTR-0039", "Travel", "438.00", "GBP", "flight to New York"),
    _Spent("CTR-0039", "Mileage", "84.5", None, "to the airport and back"),
    # A receipt in francs, paid back in dollars, billed in euros, in the books in pounds.
    _Spent("CTR-0038", "Lodging", "412.50", "CHF", "hotel in Basel"),
    _Spent("CTR-0038", "Travel", "96.00", "CHF", "train to Basel"),
    _Spent("CTR-0036", "Lodging", "187.00", "EUR", "hotel in Konstanz"),
    _Spent("CTR-0036", "Meals", "58.40", "CHF", "lunch with the client"),
    _Spent("CTR-0017", "Travel", "118.30", "GBP", "train to York"),
    _Spent("CTR-0034", "Travel", "231.00", "EUR", "train to Lyon"),
    _Spent("CTR-0014", "Mileage", "46", None, "to the plant and back"),
    _Spent("CTR-0014", "Software", "129.00", None, "test licenses"),
    # Beside a fee that pays for the work.
    _Spent("CTR-0008", "Travel", "356.20", None, "flight to Boston"),
    _Spent("CTR-0030", "Lodging", "149.00", "EUR", "hotel, one night"),
    # Not passed on: by the contract, by whoever spent it, and where there is no customer.
    _Spent("CTR-0012", "Travel", "188.00", None, "rental car"),
    _Spent("CTR-0002", "Meals", "36.20", None, "team lunch", billable=False),
    _Spent("CTR-0041", "Software", "89.00", None, "licenses", billable=False),
    # The irregularities: no rate for the currency, a comma for a point, a request that waits, another that was refused.
    _Spent("CTR-0029", "Travel", "1450.00", "SEK", "flight to Stockholm"),
    _Spent("CTR-0026", "Travel", "96.40", "GBP", "taxi", note="Receipt GBP 96,40"),
    _Spent("CTR-0031", "Travel", "74.00", "EUR", "train", state=RequestState.PENDING),
)


def build_expenses(
    seed: int,
    months: Sequence[ServiceMonth],
    *,
    projects: Sequence[DemoProject],
    entries: Sequence[DemoTimeEntry],
    approvals: Sequence[DemoApproval],
    zone_of: Mapping[str, str],
) -> tuple[tuple[DemoExpense, ...], tuple[DemoApproval, ...]]:
    """The expenses of the people whose time zone is given, and the approval requests with them.

    Of a contract on which nobody worked in a week whose request has the right state there is none.
    """
    rng = random.Random(f"{seed}/expenses")  # noqa: S311  # a demo that can be repeated, not a secret
    request_of = {i: a for a in approvals for i in a.entry_ids}
    contract_of = {p.psa_id: p.contract or "" for p in projects}
    worked: dict[tuple[str, ServiceMonth, RequestState], list[DemoTimeEntry]] = {}
    for entry in entries:
        request = request_of.get(entry.id)
        if entry.user_id not in zone_of or entry.end is None:
            continue
        if request is not None and entry.project_id is not None:
            month = ServiceMonth.of(_day(entry, zone_of))
            worked.setdefault((contract_of[entry.project_id], month, request.state), []).append(entry)
    expenses: list[DemoExpense] = []
    listed: dict[str, list[str]] = {}
    for month in months:
        for spent in _PLAN:
            days = worked.get((spent.contract, month, spent.state))
            if not days:
                continue
            entry = rng.choice(days)
            expense = _expense(hex_id(seed, "expense", len(expenses) + 1), spent, entry, _day(entry, zone_of))
            expenses.append(expense)
            listed.setdefault(request_of[entry.id].id, []).append(expense.id)
    return tuple(expenses), tuple(replace(a, expense_ids=tuple(listed.get(a.id, ()))) for a in approvals)


def _day(entry: DemoTimeEntry, zone_of: Mapping[str, str]) -> dt.date:
    return service_date(entry.start, zone_of[entry.user_id])


def _expense(expense_id: str, spent: _Spent, entry: DemoTimeEntry, on: dt.date) -> DemoExpense:
    amount, receipt = Decimal(spent.amount), spent.note
    if spent.currency is not None:
        receipt = receipt or f"Receipt {spent.currency} {spent.amount}"
        # What the bank took for its trouble is paid back too.
        paid = divide(multiply(amount, Decimal("1.012")), Decimal(_PER_USD[spent.currency]))
        amount = paid.quantize(Decimal("0.01"))
    return DemoExpense(
        id=expense_id,
        user_id=entry.user_id,
        project_id=entry.project_id,
        date=on,
        category=spent.category,
        amount=amount,
        billable=spent.billable,
        notes=f"{receipt}; {spent.what}" if receipt else spent.what,
    )
