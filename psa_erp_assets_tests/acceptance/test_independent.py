"""Every measure of the demo is what an independent computation makes of the vendors' own records: to the cent, to the
minute. The other side (`psa_erp_assets_tests.independent`) has its own requests, reading and arithmetic.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from psa_erp_assets.sandbox.tryton.build import SYNC_USER
from psa_erp_assets.sandbox.world import running_world
from psa_erp_assets_tests import independent
from psa_erp_assets_tests.independent.facts import Facts, month, sums
from psa_erp_assets_tests.independent.measures import Measures
from psa_erp_assets_tests.independent.raw import Tryton, read, read_books

pytestmark = [pytest.mark.tryton, pytest.mark.timeout(900)]

_SIX, _FOUR = Decimal("0.000001"), Decimal("0.0001")


@pytest.fixture(scope="module")
def measures(environ: dict[str, str], summary: dict[str, object]) -> Measures:
    """What the servers of the demo say now that it is over, computed anew."""
    assert summary
    with running_world(environ, lambda _: None) as world:
        sandbox, tryton = world.sandbox, world.tryton
        keys = sandbox.keys.as_mapping()
        raw = read(
            clockify=sandbox.clockify_url,
            workspace=world.company.workspace_id,
            hubspot=sandbox.hubspot_url,
            bamboohr=sandbox.bamboohr_url,
            kantata=sandbox.kantata_url,
            keys=dict(keys),
        )
        books = Tryton(tryton.url, tryton.database, SYNC_USER, tryton.credentials.passwords[SYNC_USER])
        raw |= read_books(books)
        books.close()
    return Measures(Facts(raw))


@pytest.fixture(scope="module")
def reporting(home: Path, summary: dict[str, object]) -> Iterator[duckdb.DuckDBPyConnection]:
    """The published store, as analysts open it."""
    assert summary
    with duckdb.connect(str(home / "reporting.duckdb"), read_only=True) as connection:
        yield connection


def published(reporting: duckdb.DuckDBPyConnection, statement: str, keys: int) -> dict[Any, tuple[Any, ...]]:
    """Rows by their first columns."""
    return {row[:keys]: row[keys:] for row in reporting.execute(statement).fetchall()}


def same(found: Mapping[Any, Any], expected: Mapping[Any, Any]) -> None:
    """Equal but for keys under which there is nothing at all."""

    def some(of: Mapping[Any, Any]) -> dict[Any, tuple[Any, ...]]:
        return {k: v for k, v in of.items() if any(v)}

    mine, theirs = some(expected), some(found)
    wrong = {k: (theirs.get(k), mine.get(k)) for k in {*mine, *theirs} if mine.get(k) != theirs.get(k)}
    assert not wrong, f"{len(wrong)} of {len(mine)} differ (published, computed): {dict(list(wrong.items())[:5])}"
    assert mine


def ratio(part: Any, whole: Any, digits: Decimal = _SIX) -> Decimal | None:
    return (Decimal(part) / Decimal(whole)).quantize(digits, ROUND_HALF_UP) if whole else None


def test_utilization(reporting: duckdb.DuckDBPyConnection, measures: Measures) -> None:
    """Each variant: billable, client and total minutes over what is available, and billable over gross capacity."""
    found = published(
        reporting,
        "SELECT employee_id, service_month, approved_minutes, client_minutes, billable_minutes, capacity_minutes,"
        " total_utilization, client_utilization, billable_utilization, capacity_utilization"
        " FROM mart_utilization_by_employee_month",
        2,
    )
    expected = {
        key: (
            total,
            client,
            billable,
            capacity,
            *tuple(ratio(part, capacity) for part in (total, client, billable, billable)),
        )
        for key, (total, client, billable, capacity) in measures.utilization().items()
    }
    same(found, expected)


def test_realization_in_hours_and_in_value_and_the_effective_rate(
    reporting: duckdb.DuckDBPyConnection, measures: Measures
) -> None:
    """Billed over recorded hours; billed over standard value; revenue over hours worked."""
    found = published(
        reporting,
        "SELECT legal_entity, contract_id, service_month, worked_minutes, billable_minutes, billed_minutes,"
        " standard_amount, billed_amount, revenue_amount, hours_realization, value_realization, effective_rate"
        " FROM mart_realization_by_contract_month",
        3,
    )
    expected = {
        key: (
            *(row["worked"], row["billable"], row["billed"], row["standard"], row["amount"], row["revenue"]),
            ratio(row["billed"], row["billable"]),
            ratio(row["amount"], row["standard"]),
            None
            if (rate := ratio(row["revenue"] * 60, row["worked"])) is None
            else rate.quantize(_FOUR, ROUND_HALF_UP),
        )
        for key, row in measures.realization().items()
    }
    same(found, expected)


def test_billed(reporting: duckdb.DuckDBPyConnection, measures: Measures) -> None:
    """The ERP's billable transactions and posted invoices, by contract and month in the currency of the document."""
    found = published(
        reporting,
        "SELECT legal_entity, contract_id, service_month, currency, erp_minutes, invoiced_minutes, erp_amount,"
        " invoiced_amount FROM mart_billing_by_contract_month",
        4,
    )
    lines = measures.facts.lines
    by = ["entity", "contract", "month", "currency"]
    all_lines = sums(lines, by, ["minutes", "amount"])
    invoiced = sums(lines[lines["invoiced"].astype(bool)], by, ["minutes", "amount"])
    expected = {
        key: (minutes, on_invoice[0], amount, on_invoice[1])
        for key, (minutes, amount) in all_lines.items()
        for on_invoice in [invoiced.get(key, (0, Decimal(0)))]
    }
    same(found, expected)


def test_approved_time_is_in_the_reconciliation(reporting: duckdb.DuckDBPyConnection, measures: Measures) -> None:
    """Approved hours of the PSA and hours on the ERP's lines, by entity and month; and no row is unexplained.

    What is invoiced is compared by month alone: a row has all lines of its entry, also those in the books of an entity
    whose project the entry has left.
    """
    found = published(
        reporting,
        "SELECT legal_entity, service_month, CAST(sum(approved_minutes) AS BIGINT), CAST(sum(erp_minutes) AS BIGINT)"
        " FROM mart_reconciliation_summary GROUP BY ALL",
        2,
    )
    work, lines = measures.facts.work, measures.facts.lines
    approved, billed = (sums(rows, ["entity", "month"], ["minutes"]) for rows in (work, lines))
    same(found, {k: (approved.get(k, (0,))[0], billed.get(k, (0,))[0]) for k in {*approved, *billed}})
    invoiced = published(
        reporting,
        "SELECT service_month, CAST(sum(invoiced_minutes) AS BIGINT) FROM mart_reconciliation_summary GROUP BY 1",
        1,
    )
    same(invoiced, sums(lines[lines["invoiced"].astype(bool)], ["month"], ["minutes"]))
    assert not reporting.execute("SELECT * FROM stg_reconciliation WHERE NOT explained").fetchall()


def test_revenue_in_three_currencies(reporting: duckdb.DuckDBPyConnection, measures: Measures) -> None:
    """In the document's currency, the books' and the group's, at the rates of the stated policy."""
    found = published(
        reporting,
        "SELECT legal_entity, service_month, currency, sum(amount), sum(entity_amount), sum(group_amount)"
        " FROM fct_revenue GROUP BY ALL",
        3,
    )
    by = ["entity", "month", "currency"]
    same(found, sums(measures.revenue, by, ["amount", "entity_amount", "group_amount"]))


def test_intercompany_charges(reporting: duckdb.DuckDBPyConnection, measures: Measures) -> None:
    """What one entity's people cost another, in the books of the one that employs them."""
    found = published(
        reporting,
        "SELECT legal_entity, service_month, sum(amount), sum(group_amount) FROM fct_intercompany GROUP BY ALL",
        2,
    )
    entries = measures.facts.entries
    charges = entries[(entries["journal"] == "ICOM") & (entries["account"] == "1260")]
    same(found, sums(charges, ["entity", "month"], ["amount", "amount_group"]))


def test_work_in_progress_and_deferred_revenue_roll_forward(
    reporting: duckdb.DuckDBPyConnection, measures: Measures
) -> None:
    """Opening, earned, billed and closing of each contract in every month; and which side of nought it is on."""
    found = published(
        reporting,
        "SELECT legal_entity, contract_id, service_month, opening_amount, earned_amount, billed_amount, closing_amount,"
        " wip_amount, deferred_amount FROM mart_wip_by_contract_month",
        3,
    )
    expected = {
        key: (*row, max(row[-1], Decimal(0)), max(-row[-1], Decimal(0))) for key, row in measures.roll_forward().items()
    }
    same(found, expected)


def test_contract_assets_and_liabilities(reporting: duckdb.DuckDBPyConnection, measures: Measures) -> None:
    """Earned and billed by contract and month, and the one side that what is left is on."""
    found = published(
        reporting,
        "SELECT contract_id, service_month, earned_amount, billed_amount, contract_asset, contract_liability"
        " FROM mart_contract_balance",
        2,
    )
    moved = measures.contract_balances()
    expected = {}
    for contract, m in found:
        earned, billed = moved.get((contract, m), (Decimal(0), Decimal(0)))
        closing = sum((e - b for (c, of), (e, b) in moved.items() if c == contract and of <= m), Decimal(0))
        expected[contract, m] = (earned, billed, max(closing, Decimal(0)), max(-closing, Decimal(0)))
    same(found, expected)
    with_fees = {c for c, terms in measures.facts.contracts.items() if "fixed_fee" in terms["kind"]}
    assert with_fees <= {contract for contract, _ in found}


def test_backlog(reporting: duckdb.DuckDBPyConnection, measures: Measures) -> None:
    """Contracted and signed, and not earned yet, by contract."""
    [(as_of,)] = reporting.execute("SELECT DISTINCT as_of_month FROM fct_backlog").fetchall()
    found = published(reporting, "SELECT contract_id, sum(amount) FROM fct_backlog GROUP BY 1", 1)
    same(found, {(contract,): (amount,) for contract, amount in measures.backlog(as_of).items()})


def test_days_sales_outstanding(reporting: duckdb.DuckDBPyConnection, measures: Measures) -> None:
    """By the standard method over a year and a quarter, and counted back."""
    found = published(reporting, "SELECT legal_entity, dso_year, dso_quarter, dso_count_back FROM mart_dso", 1)
    same(found, {(entity,): days for entity, days in measures.days_sales_outstanding().items()})


@pytest.mark.parametrize("dimension", ["client", "project", "practice", "consultant", "grade"])
def test_gross_margin(reporting: duckdb.DuckDBPyConnection, measures: Measures, dimension: str) -> None:
    """Revenue, delivery cost and margin by each dimension, which all come to the same total."""
    found = published(
        reporting,
        "SELECT member, legal_entity, service_month, revenue_amount, cost_amount, group_revenue_amount,"
        " group_cost_amount, margin_amount, group_margin_amount, margin_fraction FROM mart_margin_by_dimension"
        f" WHERE dimension = '{dimension}'",
        3,
    )
    expected = {
        key: (
            revenue,
            cost,
            group_revenue,
            group_cost,
            revenue - cost,
            group_revenue - group_cost,
            ratio(revenue - cost, revenue),
        )
        for key, (revenue, cost, group_revenue, group_cost) in measures.margin(dimension).items()
    }
    same(found, expected)
    total = sum(row[5] for row in expected.values())
    assert total == sum(measures.revenue["group_amount"]) - sum(measures.cost["group_amount"])


def test_revenue_leakage(reporting: duckdb.DuckDBPyConnection, measures: Measures) -> None:
    """Every minute that was recorded as billable and that nothing pays for, at its standard value, and no other."""
    rows = reporting.execute(
        "SELECT legal_entity, contract_id, service_month, minutes, entity_amount FROM mart_revenue_leakage"
        " WHERE reason <> 'non_billable'"
    ).fetchall()
    found: dict[Any, list[Any]] = defaultdict(lambda: [0, Decimal(0)])
    for *key, minutes, amount in rows:
        found[tuple(key)][0] += minutes
        found[tuple(key)][1] += amount
    same({key: tuple(value) for key, value in found.items()}, measures.leakage())


def test_everything_ties_to_the_general_ledger(reporting: duckdb.DuckDBPyConnection, measures: Measures) -> None:
    """Every account that invoices and entries are booked on, in every month; and what customers owe."""
    rows = reporting.execute(
        "SELECT role, difference, ledger_amount, legal_entity, ledger_month FROM mart_general_ledger_tie"
    ).fetchall()
    assert {difference for _, difference, *_ in rows} <= {"matched", "rounding"}
    roles = {"revenue", "contract_balance", "tax", "delivery_cost", "labor_absorbed", "expenses_to_reimburse"}
    assert roles | {"intercompany_payable", "intercompany_receivable", "labor_charged_out"} <= {row[0] for row in rows}
    # The ledger's own sums are those of its entries, which were read one by one.
    entries = measures.facts.entries
    posted = entries[entries["posted"].astype(bool) & (entries["account"] == "5000")]
    ledger = {(entity, m): (amount,) for role, _, amount, entity, m in rows if role == "delivery_cost"}
    same(ledger, sums(posted, ["entity", "month"], ["amount"]))
    owed = published(reporting, "SELECT legal_entity, open_amount, difference_amount FROM mart_receivables_tie", 1)
    same(
        owed, {key: (open_, 0) for key, (open_,) in sums(measures.facts.invoices, ["entity"], ["open_entity"]).items()}
    )


def test_each_invoice_is_there(reporting: duckdb.DuckDBPyConnection, measures: Measures) -> None:
    """Posted invoices by entity and month, tax included, and what of them is open."""
    found = published(
        reporting,
        "SELECT legal_entity, invoice_month, sum(total_entity_amount), sum(open_group_amount) FROM fct_invoice"
        " WHERE posted GROUP BY ALL",
        2,
    )
    invoices = measures.facts.invoices
    rows = invoices.assign(month=invoices["on"].map(month))
    same(found, sums(rows, ["entity", "month"], ["total_entity", "open_group"]))


def test_the_other_side_knows_nothing_of_this_one() -> None:
    """What both share would be right or wrong on both sides, and no test could tell."""
    folder = Path(independent.__file__).parent
    for module in folder.glob("*.py"):
        assert not re.search(r"\bpsa_erp_assets\b(?!_tests)", module.read_text(encoding="utf-8")), module.name
