"""The demo as its user runs it: the installed command, from nothing, with real servers at free ports."""

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from psa_erp_assets.adapters.reporting_file import REPORTING_FILE, ReportingFile
from psa_erp_assets.services.report_filters import Filters
from psa_erp_assets.services.reports import REPORTS, report
from psa_erp_assets_tests.support.demo import psa_erp
from psa_erp_assets_tests.support.executive import EXECUTIVE, of_marts

pytestmark = [pytest.mark.tryton, pytest.mark.timeout(900)]


def test_every_approved_minute_is_in_one_place(summary: dict[str, int]) -> None:
    """A minute that is in no bucket was lost; one that is in two would be billed twice."""
    parts = ("billed", "non_billable", "held", "pending")
    assert sum(summary[f"{part}_minutes"] for part in parts) == summary["approved_minutes"]
    assert summary["billed_minutes"] > 300_000
    assert summary["held_minutes"] > 0
    assert summary["pending_minutes"] == 0


def test_the_erp_holds_nothing_twice_and_nothing_strange(summary: dict[str, int]) -> None:
    """Read from the ERP: a duplicate or an unexplained difference is a wrong invoice at month-end."""
    assert summary["duplicates"] == 0
    assert summary["unexplained_differences"] == 0
    assert summary["erp_documents_read_back"] > 5_000


def test_every_check_of_the_tables_passes(summary: dict[str, list[str]]) -> None:
    """A check that is red after a correction is either a fault of the sync or one that is soon ignored."""
    assert summary["failed_checks"] == []


def test_a_second_sync_posts_nothing(summary: dict[str, int]) -> None:
    """Running a period again must not bill it again (odoo#250946)."""
    assert summary["postings_of_a_second_sync"] == 0


def test_the_dirt_is_in_the_exception_queue(summary: dict[str, dict[str, int]]) -> None:
    """Each kind of bad input that the demo company has must be somebody's open item."""
    expected = {"unknown_project", "project_not_in_erp", "no_cost_rate", "unknown_employee", "no_fx_rate"}
    expected |= {"project_closed", "malformed_record"}
    limits = {"cap_reached", "retainer_exhausted", "milestone_over_fee"}
    assert expected | limits <= summary["open_exceptions_by_code"].keys()


def test_what_was_corrected_leaves_nothing_open(summary: dict[str, dict[str, int]]) -> None:
    """A correction that is not carried out to its end would wait for somebody who thinks that it is done."""
    unwanted = {"period_closed", "posting_conflict", "posting_duplicate", "posting_drift", "document_missing"}
    unwanted |= {"plan_awaits_approval", "credited_in_erp", "posting_rejected"}
    assert not unwanted & summary["open_exceptions_by_code"].keys()


def test_every_kind_of_contract_is_billed(summary: dict[str, dict[str, int]]) -> None:
    """A kind that is missing here is one whose billing nobody sees."""
    kinds = {"time_and_materials", "capped", "fixed_fee_milestone", "fixed_fee_schedule", "retainer", "mixed"}
    assert summary["contracts_by_kind"].keys() == kinds | {"non_billable"}


def test_contract_balances_are_what_is_earned_less_what_is_billed(summary: dict[str, list[dict[str, str]]]) -> None:
    """Read from the ERP, to the cent, from terms and not from the sync: fees are agreed, so these must come out."""
    balances = {
        row["contract"]: (Decimal(row["earned"]), Decimal(row["billed"])) for row in summary["contract_balances"]
    }
    # Straight line over a term that is over: all is earned and all is billed, one invoice having been cancelled.
    assert balances["CTR-0009"] == (Decimal(24_000), Decimal(24_000))
    # By milestone: of three that were accepted one was over the fee.
    assert balances["CTR-0008"] == (Decimal(28_000), Decimal(28_000))
    # By cost: one of two accepted milestones was reopened after its invoice, and is credited; work goes on.
    earned, billed = balances["CTR-0030"]
    assert billed == Decimal(50_000) < earned < Decimal(150_000)
    assert balances["CTR-0019"][1] == Decimal(9_000)
    assert balances["CTR-0013"][1] == Decimal(40_000)
    for row in summary["contract_balances"]:
        assert Decimal(row["balance"]) == Decimal(row["earned"]) - Decimal(row["billed"])


def test_a_credit_above_the_limit_is_made_only_after_its_approval(summary: dict[str, list[dict[str, str]]]) -> None:
    """Four eyes would be a rule that nobody has seen at work."""
    [plan] = summary["approved_plans"]
    assert (plan["legal_entity"], plan["service_month"]) == ("DE", "2026-09")
    assert plan["why"].startswith("credits to customers: ")
    assert plan["by"]
    assert plan["note"]


def test_a_loss_is_provided_for_as_far_as_work_has_not_taken_it_up(summary: dict[str, list[dict[str, str]]]) -> None:
    """Estimated cost 52,000 for a fee of 40,000: revenue, provision and cost to date come to the loss of 12,000.

    ASC 605-35-25-45. The provision is 12,000 × what is still to be done.
    """
    [us] = [row for row in summary["revenue"] if (row["legal_entity"], row["currency"]) == ("US", "USD")]
    [earned] = [Decimal(row["earned"]) for row in summary["contract_balances"] if row["contract"] == "CTR-0013"]
    still_to_do = 1 - earned / 40_000
    assert abs(Decimal(us["loss_provision"]) - 12_000 * still_to_do) <= Decimal("0.01")


def test_expenses_and_intercompany_charges_are_in_the_erp(summary: dict[str, list[dict[str, str]]]) -> None:
    """Each entity bills expenses in its contracts' currencies, and charges for its people in its own."""
    assert {(r["legal_entity"], r["currency"]) for r in summary["expenses_billed"]} == {
        ("DE", "EUR"),
        ("UK", "CHF"),
        ("UK", "EUR"),
        ("UK", "GBP"),
        ("US", "USD"),
    }
    charges = {(r["legal_entity"], r["currency"]): Decimal(r["amount"]) for r in summary["intercompany_charges"]}
    assert charges.keys() == {("US", "USD"), ("UK", "GBP"), ("DE", "EUR")}
    assert all(amount > 0 for amount in charges.values())


def test_the_reporting_store_says_what_the_erp_says(home: Path, summary: dict[str, list[dict[str, str]]]) -> None:
    """An analyst's total by entity, month and currency must be that of the ERP, to the cent."""
    with duckdb.connect(str(home / "reporting.duckdb"), read_only=True) as reporting:
        rows = reporting.execute(
            "SELECT legal_entity, service_month, currency, sum(net_amount) FROM stg_billing_lines"
            " GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    published = {(entity, month, currency): Decimal(amount) for entity, month, currency, amount in rows}
    erp = {(a["legal_entity"], a["service_month"], a["currency"]): Decimal(a["billed"]) for a in summary["amounts"]}
    assert published == erp


def test_the_executive_overview_says_what_the_marts_say(home: Path, summary: dict[str, object]) -> None:
    """An executive would decide on a number that no mart has: of the whole firm, and of its last whole month."""
    with ReportingFile(home / REPORTING_FILE).open() as reader:
        found = report(reader, REPORTS["executive"], Filters())
    month = found.filters.last
    with duckdb.connect(str(home / REPORTING_FILE), read_only=True) as marts:
        for figure in found.figures:
            wanted = {"month": f"service_month = '{month}'", "last": str(month), "entity": "true"}
            expected = of_marts(marts, figure.name, group="group_", fact="group_", **wanted)
            assert [value.value for value in figure.values] == expected, figure.name
    assert {figure.name for figure in found.figures} == EXECUTIVE.keys()
    assert all(value.value for figure in found.figures[:6] for value in figure.values)


def test_commands_go_on_where_the_demo_ended(environ: dict[str, str], summary: dict[str, object]) -> None:
    """After the demo its user looks around: without the ERP, status and exceptions must still answer."""
    status = psa_erp(environ, "status", "--json")
    assert status.returncode == 0, status.stderr
    assert json.loads(status.stdout)["deliveries_pending"] == 0
    exceptions = psa_erp(environ, "exceptions", "--json")
    by_code: Counter[str] = Counter()
    for cause in json.loads(exceptions.stdout)["groups"]:
        by_code[cause["code"]] += cause["items"]
    assert by_code == summary["open_exceptions_by_code"]
    items = [case["object_id"] for case in json.loads(exceptions.stdout)["items"]]
    entry = next(object_id for object_id in items if object_id.startswith("time_entry:"))
    trace = psa_erp(environ, "trace", entry)
    assert trace.returncode == 0
    assert "Timeline" in trace.stdout
    plan = psa_erp(environ, "apply", "--entity", "NOWHERE")
    assert plan.returncode == 1
    assert "US, UK, DE" in plan.stderr
