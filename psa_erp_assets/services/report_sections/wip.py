"""What is earned and not invoiced, and what is invoiced and not earned, at the end of a period."""

from decimal import Decimal
from typing import Literal

from psa_erp_assets.adapters.reporting_file import Reader
from psa_erp_assets.services import report_queries as queries
from psa_erp_assets.services.report_filters import Drill, Filters, months_between
from psa_erp_assets.services.report_model import Chart, Column, Figure, Section, Value, columns
from psa_erp_assets.services.report_sections.building import (
    OF_MONTH,
    TREND_MONTHS,
    BuildFigure,
    named,
    rows_address,
    with_currency,
)

_MART = "mart_wip_by_contract_month"
_AGES = ((0, 0, "this month"), (1, 1, "1 month"), (2, 2, "2 months"), (3, 5, "3 to 5 months"))
_OLDEST = "6 months or more"


def _balance(name: str, label: str, good: Literal["up", "down"] | None) -> BuildFigure:
    def build(reader: Reader, filters: Filters) -> Figure:
        end, before = _end_of_balances(reader, filters), _end_of_balances(reader, filters.before())
        then = (
            {row["currency"]: row[name] for row in reader.read(queries.wip_by_month(before)).dicts()}
            if before.last
            else {}
        )
        now = reader.read(queries.wip_by_month(end)).dicts() if end.last else []
        return Figure(
            name=name,
            label=label,
            unit="money",
            values=with_currency(
                Value(value=row[name], currency=row["currency"], previous=then.get(row["currency"])) for row in now
            ),
            address=rows_address(_MART, end),
            report="wip",
            good=good,
            note=f"at the end of {end.last}" if end.last else "",
        )

    return build


unbilled = _balance("wip", "Unbilled work", "down")
"""What is earned and not invoiced at the end of the period."""

deferred = _balance("deferred", "Deferred revenue", None)
"""What is invoiced and not earned at the end of the period."""


def by_month(reader: Reader, filters: Filters) -> Section:
    """Balances at the end of each of the twelve months that end with the period."""
    trend = filters.ending(TREND_MONTHS)
    return Section(
        name="wip_by_month",
        title="Unbilled and deferred by month",
        note="At the end of each month. What a contract has earned and billed nets within it, never with others.",
        columns=(
            Column(name="service_month", label="Month", unit="month"),
            *columns(
                "money",
                {"earned": "Earned", "billed": "Invoiced", "wip": "Unbilled", "deferred": "Deferred"},
                drill=Drill(mart=_MART, keys=OF_MONTH),
            ),
        ),
        rows=reader.read(queries.wip_by_month(trend)).dicts(),
        chart=Chart(x="service_month", bars=("wip", "deferred")),
        address="wip",
        filters=trend,
    )


def by_age(reader: Reader, filters: Filters) -> Section:
    """How long ago what is unbilled was earned; what was earned first counts as billed first."""
    end = _end_of_balances(reader, filters)
    whole = {
        row["currency"]: row["wip"] for row in reader.read(queries.wip_by_month(end)).dicts() if end.last is not None
    }
    sums: dict[tuple[str, str], Decimal] = {}
    for row in reader.read(queries.wip_by_age(filters)).dicts():
        label = _age(months_between(row["service_month"], end.last or row["service_month"]) - 1)
        key = (label, row["currency"])
        sums[key] = sums.get(key, Decimal(0)) + row["kept"]
        whole[row["currency"]] = whole.get(row["currency"], Decimal(0)) - row["kept"]
    for currency, rest in whole.items():
        if rest:
            # More is unbilled than the contract's months have earned: it was open before the first of them.
            sums[_OLDEST, currency] = sums.get((_OLDEST, currency), Decimal(0)) + rest
    labels = [*(label for _, _, label in _AGES), _OLDEST]
    return Section(
        name="wip_by_age",
        title="Age of unbilled work",
        note="What a contract earned first counts as invoiced first.",
        columns=(
            Column(name="age", label="Earned"),
            Column(
                name="amount",
                label="Unbilled",
                unit="money",
                drill=Drill(mart=_MART, keys={"first": "end", "last": "end"}),
            ),
        ),
        rows=[
            {"age": label, "amount": amount, "currency": currency, "end": end.last}
            for (label, currency), amount in sorted(sums.items(), key=lambda one: (one[0][1], labels.index(one[0][0])))
        ],
        chart=Chart(x="age", bars=("amount",)),
        address="wip",
        filters=filters,
    )


def by_contract(reader: Reader, filters: Filters) -> Section:
    """Balances by contract at the end of the period."""
    end = _end_of_balances(reader, filters)
    rows = reader.read(queries.wip_by_contract(end)).dicts() if end.last is not None else []
    return Section(
        name="wip_by_contract",
        title="By contract",
        columns=(
            Column(name="name", label="Contract"),
            *columns(
                "money",
                {
                    "earned": "Earned in the month",
                    "billed": "Invoiced in the month",
                    "wip": "Unbilled",
                    "deferred": "Deferred",
                },
                drill=Drill(mart=_MART, keys={"contract": "member"}),
            ),
        ),
        rows=named(rows),
        chart=Chart(x="name", bars=("wip",), sideways=True),
        filters=end,
    )


def _end_of_balances(reader: Reader, filters: Filters) -> Filters:
    """The filters for the one month whose closing balances are those of the period's end; None where there is none."""
    month = reader.read(queries.wip_month(filters)).rows[0][0]
    return filters.replace(first=month, last=month)


def _age(months: int) -> str:
    return next((label for first, last, label in _AGES if first <= months <= last), _OLDEST)
