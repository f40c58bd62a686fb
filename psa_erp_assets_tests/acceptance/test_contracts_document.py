"""docs/contracts.md walks through contracts of the demo: each of its figures is what a run of the demo leaves."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from psa_erp_assets.settings import REPOSITORY

pytestmark = [pytest.mark.tryton, pytest.mark.timeout(900)]

SEPTEMBER, OCTOBER = "2026-09", "2026-10"
MONTHS = {"September": SEPTEMBER, "October": OCTOBER}


class Marts:
    """Sums over what the demo has published, by contract."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def minutes(self, contract: str, outcome: str, *months: str, reason: str = "%") -> int:
        """Minutes of approved work of an outcome."""
        return int(
            self._sum(
                "SELECT sum(minutes) FROM fct_approved_work WHERE contract_id = ? AND kind = 'time' AND outcome = ?"
                " AND list_contains(?, service_month) AND coalesce(reason, '') LIKE ?",
                [contract, outcome, list(months), reason],
            )
        )

    def billed_minutes(self, contract: str, month: str) -> int:
        """Minutes on billing lines."""
        query = "SELECT sum(minutes) FROM fct_billing WHERE contract_id = ? AND service_month = ?"
        return int(self._sum(query, [contract, month]))

    def billed(self, contract: str, *months: str, but: str = "expense", entity: str = "%") -> str:
        """Amounts of billing lines that are not of a kind."""
        return shown(
            self._sum(
                "SELECT sum(amount) FROM fct_billing WHERE contract_id = ? AND list_contains(?, service_month)"
                " AND kind <> ? AND legal_entity LIKE ?",
                [contract, list(months), but, entity],
            )
        )

    def labor(self, contract: str, *months: str) -> str:
        """What the hours cost: of the entity's own people, and of those it has lent."""
        return shown(
            self._sum(
                "SELECT sum(amount) FROM fct_cost WHERE contract_id = ? AND list_contains(?, service_month)"
                " AND kind IN ('labor', 'intercompany') AND minutes <> 0",
                [contract, list(months)],
            )
        )

    def provided(self, contract: str, *months: str) -> str:
        """The provision for losses."""
        return shown(
            self._sum(
                "SELECT sum(amount) FROM fct_cost WHERE contract_id = ? AND list_contains(?, service_month)"
                " AND kind = 'loss_provision'",
                [contract, list(months)],
            )
        )

    def entered(self, contract: str, *months: str) -> str:
        """Revenue entries."""
        return shown(
            self._sum(
                "SELECT sum(amount) FROM fct_revenue WHERE contract_id = ? AND list_contains(?, service_month)"
                " AND source = 'revenue_entry'",
                [contract, list(months)],
            )
        )

    def charged(self, contract: str, month: str, entity: str) -> str:
        """What an entity charges the one that sells."""
        query = (
            "SELECT sum(amount) FROM fct_intercompany WHERE contract_id = ? AND service_month = ? AND legal_entity = ?"
        )
        return shown(self._sum(query, [contract, month, entity]))

    def closing(self, contract: str, month: str) -> str:
        """The contract's balance after a month: an asset, or less than nothing."""
        query = "SELECT sum(closing_amount) FROM mart_contract_balance WHERE contract_id = ? AND service_month = ?"
        return shown(self._sum(query, [contract, month]))

    def _sum(self, query: str, parameters: list[object]) -> Decimal:
        row = self._connection.execute(query, parameters).fetchone()
        assert row is not None
        assert row[0] is not None, parameters
        return Decimal(row[0])


def shown(amount: Decimal) -> str:
    """As the document writes it."""
    return f"{amount:,.2f}"


def hours(minutes: int) -> str:
    """As the document writes hours and minutes."""
    return f"{minutes // 60}:{minutes % 60:02}"


@pytest.fixture(scope="module")
def marts(home: Path, summary: dict[str, object]) -> Iterator[Marts]:
    """What the demo has published."""
    assert summary
    with duckdb.connect(str(home / "reporting.duckdb"), read_only=True) as connection:
        yield Marts(connection)


def claims(of: Marts) -> Iterator[str]:
    """Each part of the document that has figures of a run, as the run has them."""
    both = (SEPTEMBER, OCTOBER)
    for name, month in MONTHS.items():
        work = (of.minutes("CTR-0016", outcome, month) for outcome in ("post", "hold"))
        posted, held = work
        yield (f"| {name} | {posted:,} | {held:,} | {of.billed('CTR-0016', month)} | {of.labor('CTR-0016', month)} |")
        for contract in ("CTR-0003", "CTR-0004"):
            yield f"| {contract} | {name} | {of.billed(contract, month)} | {of.billed_minutes(contract, month):,} |"
        fee = (of.billed("CTR-0008", month), of.entered("CTR-0008", month))
        covered = hours(of.minutes("CTR-0008", "covered", month))
        yield f"| {name} | {fee[0]} | {fee[1]} | {covered} | {of.labor('CTR-0008', month)} |"
    german = [of.charged("CTR-0016", month, "DE") for month in both]
    yield f"the German company charges {german[0]} and {german[1]} EUR"
    yield (
        f"{of.billed_minutes('CTR-0018', SEPTEMBER):,} minutes × 124.50 ÷ 60 ="
        f" {of.billed('CTR-0018', SEPTEMBER)} GBP in September"
    )
    yield f"{of.minutes('CTR-0004', 'written_off', OCTOBER):,} min written off"
    yield f"September ends at {of.billed('CTR-0005', SEPTEMBER)}"
    cost = of.labor("CTR-0030", SEPTEMBER), of.labor("CTR-0030", *both)
    earned = [of.entered("CTR-0030", *months) for months in ((SEPTEMBER,), both, (OCTOBER,))]
    yield f"September: cost {cost[0]} of 30,000.00 is 19.4 %, revenue {earned[0]}"
    yield f"October: {cost[1]} is 43.1 %, {earned[1]} to date, so {earned[2]} more"
    balance = of.closing("CTR-0030", OCTOBER)
    yield f"billed {of.billed('CTR-0030', *both)}, earned {earned[1]}, a contract asset of {balance}"
    line = of.entered("CTR-0009", SEPTEMBER)
    yield f"| September | {of.billed('CTR-0009', SEPTEMBER)} | 30 | {line} | {line} |"
    yield f"| October | | 61 | {of.entered('CTR-0009', *both)} | {of.entered('CTR-0009', OCTOBER)} |"
    minutes = {month: of.minutes("CTR-0019", "covered", month) for month in both}
    unbilled = of.minutes("CTR-0019", "non_billable", OCTOBER)
    yield f"September's {minutes[SEPTEMBER]:,} minutes are 2,720.625, recognized as {of.entered('CTR-0019', SEPTEMBER)}"
    yield f"With October's {minutes[OCTOBER] + unbilled:,} ({unbilled} of them marked as not billable"
    yield f"so {of.entered('CTR-0019', OCTOBER)} more"
    yield f"the balance is a liability of {of.closing('CTR-0019', OCTOBER).removeprefix('-')}"
    for name, months in (("September", (SEPTEMBER,)), ("October", both)):
        yield f"| {name} | {of.labor('CTR-0013', *months)} |"
        yield f"| {of.provided('CTR-0013', *months)} |"
        yield f"% | {of.entered('CTR-0013', months[-1])} |"
    used = {m: of.minutes("CTR-0033", "covered", m) for m in both}
    yield f"| September | 66:00 | | {hours(used[SEPTEMBER])} | {hours(66 * 60 - used[SEPTEMBER])} |"
    beyond, fee_of = of.minutes("CTR-0033", "post", OCTOBER), of.billed("CTR-0033", OCTOBER, but="retainer")
    yield f"| {hours(used[OCTOBER])} | 0:00 | {hours(beyond)}, {fee_of} |"
    over = [hours(of.minutes("CTR-0010", "hold", month)) for month in both]
    yield f"{over[0]} and {over[1]} beyond them are held"
    yield (
        f"a milestone of {of.billed('CTR-0007', SEPTEMBER, but='time')}, revenue of"
        f" {of.entered('CTR-0007', SEPTEMBER)} by an entry, {of.minutes('CTR-0007', 'covered', SEPTEMBER):,} minutes"
        f" covered by the fee; and {of.minutes('CTR-0007', 'post', SEPTEMBER):,} minutes of support billed at"
        f" {of.billed('CTR-0007', SEPTEMBER, but='milestone')}"
    )
    british = [of.billed("CTR-0038", month, entity="UK") for month in both]
    yield f"September's {british[0]} EUR and {british[1]} EUR of October stay in the British books"
    yield f"the German company bills the {of.billed('CTR-0038', OCTOBER, entity='DE')} EUR that it leaves"
    cut = of.minutes("CTR-0038", "hold", OCTOBER, reason="beyond the cap%")
    yield f"and {cut} minutes beyond it are held"


def test_the_figures_of_the_contracts_are_those_of_the_demo(marts: Marts) -> None:
    """A reader who follows an example by its numbers would find others, and trust neither."""
    text = " ".join((REPOSITORY / "docs" / "contracts.md").read_text(encoding="utf-8").split())
    wanted = list(claims(marts))
    assert [claim for claim in wanted if claim not in text] == []
    assert len(wanted) > 30
