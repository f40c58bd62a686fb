"""Reports as they stood at an earlier run, the causes of what changed, and what upkeep leaves of the past."""

import csv
import datetime as dt
import io
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from psa_erp_assets.adapters.postgres import ServerInfo
from psa_erp_assets.adapters.store import reporting_runs
from psa_erp_assets.cli.app import app
from psa_erp_assets.domain.report_changes import CAUSES, MEASURES, Cause, Change, Measure
from psa_erp_assets.services import as_of, lake_upkeep, reporting
from psa_erp_assets.services.as_of import ReportingRun
from psa_erp_assets.services.runtime import Runtime, open_runtime
from psa_erp_assets.settings import load_settings
from psa_erp_assets_tests.support.postgres import sync_databases
from psa_erp_assets_tests.support.report_lake import DAY, MONTH, LakeBooks

# Models are in an order in which each comes after its inputs.
WANTED = (
    "fct_billing",
    "fct_revenue",
    "fct_cost",
    "mart_margin",
    "mart_wip_by_contract_month",
    "stg_adjustments",
)


@pytest.fixture(scope="module")
def environ(postgres_server: ServerInfo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with sync_databases(postgres_server):
        home = tmp_path_factory.mktemp("home")
        yield {"PSA_ERP_HOME": str(home), "PSA_ERP_DATABASE_URL": postgres_server.url("postgres")}


@pytest.fixture(scope="module")
def runtime(environ: dict[str, str]) -> Iterator[Runtime]:
    with open_runtime(load_settings(environ)) as opened:
        yield opened


@pytest.fixture(scope="module")
def two_runs(runtime: Runtime) -> tuple[ReportingRun, ReportingRun]:
    """A run of before and one of after everything that may happen to a contract has happened to one."""
    books = before()
    run(runtime, books)
    happen(books)
    run(runtime, books)
    now, earlier = as_of.runs(runtime)
    return earlier, now


def run(runtime: Runtime, books: LakeBooks) -> None:
    """Write a state, build what is asked for here, and record it, as publishing does for the whole file."""
    books.write(runtime.lake)
    models, wanted = reporting.models(), set(WANTED)
    for name in reversed(models):
        if name in wanted:
            wanted |= {*models[name].inputs, *models[name].tested_against} & models.keys()
    for name in models:
        if name in wanted:
            reporting.build(runtime.lake, name)
    state = runtime.lake.query("SELECT max(snapshot_id) FROM lake.snapshots()").column(0)[0].as_py()
    with runtime.engine.begin() as connection:
        reporting_runs.add(
            connection,
            runtime.settings.tenant,
            lake_snapshot=state,
            models=len(wanted),
            published_at=runtime.clock(),
        )


def before() -> LakeBooks:
    books = LakeBooks()
    for name in (
        "same", "new", "gone", "edit", "rate", "amend", "map", "mapped", "credit", "hold", "held", "late", "hand",
        "hand_credit", "touched", "silent", "deleted", "posted", "cancelled", "written_off", "follows", "several",
        "stray", "cost",
    ):  # fmt: skip
        books.contract(name)
    for name in ("same", "gone", "edit", "rate", "amend", "map", "credit", "held", "touched", "silent", "deleted",
                 "posted"):  # fmt: skip
        books.billed(name, name, "100")
    for name in ("touched", "silent"):
        books.reconciled(name, name, "100", "not_invoiced")
    books.billed("cancelled", "cancelled", "100", posted=True, invoice_number="INV-1", invoice_state="posted",
                 invoice_date=DAY)  # fmt: skip
    books.work("hold", "hold", None)
    books.work("late", "late", "100")
    books.posting("late", "late", "100", state="ready")
    books.billed("written_off", "written_off", "100")
    for name in ("follows", "several"):
        books.decided(f"contract_month:{name}:revenue", "revenue", contract_id=name, outcome="post")
        books.posting(f"{name}-fee", f"contract_month:{name}:revenue", "500", effect_type="revenue_entry",
                      booked_as="recognition", minutes=0)  # fmt: skip
        books.entry("erp_revenue_entries", f"{name}-fee", name, "500", key=f"{name}-fee")
    books.billed("several-1", "several", "100")
    books.entry("erp_revenue_entries", "stray", "stray", "70", key="nobody-knows")
    books.work("cost", "cost", "100")
    books.posting("cost", "cost", "40", effect_type="cost_transaction", booked_as="labor")
    books.entry("erp_cost_entries", "cost", "cost", "40", key="cost")
    books.add("erp_invoices", "erp_id", erp_id="1", number="INV-1", legal_entity="UK", party_code="CUS-1",
              invoice_date=DAY, currency="GBP", net_amount=Decimal(100), tax_amount=Decimal(0),
              total_amount=Decimal(100), open_amount=Decimal(100), state="posted")  # fmt: skip
    return books


def happen(books: LakeBooks) -> None:
    """To each contract what it is named after."""

    def billed_anew(name: str, amount: str, *, contract: str | None = None) -> None:
        books.change("postings", name, state="withdrawn")
        books.remove("erp_billing_lines", name)
        books.posting(f"{name}-2", name, amount, revision=2)
        books.line(f"{name}-2", contract or name, amount, key=f"{name}-2")

    books.billed("new", "new", "100")
    books.forget("gone")
    books.change("postings", "gone", state="withdrawn")
    books.remove("erp_billing_lines", "gone")
    books.work("edit", "edit", "200", minutes=120, revision=2)
    billed_anew("edit", "200")
    books.rate("rate", "120")
    books.work("rate", "rate", "120")
    billed_anew("rate", "120")
    books.change("contracts", "amend", content="amended")
    books.work("amend", "amend", "90")
    billed_anew("amend", "90")
    books.work("map", "mapped", "100")
    billed_anew("map", "100", contract="mapped")
    books.add("credits", "id", id="C1", object_id="credit", minutes=30, rebill=False, in_erp=False, reason="agreed",
              requested_at=dt.datetime(2026, 9, 20, tzinfo=dt.UTC))  # fmt: skip
    books.posting("credit-back", "credit", "-50", leg="reversal", minutes=-30, target_key="credit")
    books.line("credit-back", "credit", "-50", key="credit-back", minutes=-30)
    books.billed("hold", "hold", "100")
    books.work("held", "held", None)
    books.change("postings", "held", state="withdrawn")
    books.remove("erp_billing_lines", "held")
    books.posting("late", "late", "100")
    books.line("late", "late", "100", key="late")
    books.line("hand", "hand", "33", key=None)
    books.line("hand_credit", "hand_credit", "-25", key=None, credits_key="same")
    books.change("erp_billing_lines", "touched", net_amount=Decimal(90))
    for name in ("touched", "silent"):
        books.reconciled(name, name, "100", "manual_change")
    books.remove("erp_billing_lines", "deleted")
    books.change("erp_billing_lines", "posted", posted=True, invoice_number="INV-2", invoice_state="posted",
                 invoice_date=dt.date(2026, 10, 2))  # fmt: skip
    books.change("erp_billing_lines", "cancelled", posted=False, invoice_state="cancelled")
    books.posting("cancelled-2", "cancelled", "100", revision=2)
    books.line("cancelled-2", "cancelled", "100", key="cancelled-2")
    books.work("written_off", "written_off", None, outcome="written_off")
    books.change("postings", "written_off", state="withdrawn")
    books.remove("erp_billing_lines", "written_off")
    books.add("adjustments", "id", id="write_off:1", kind="write_off", object_id="written_off", reason="agreed",
              decided_at=dt.datetime(2026, 9, 20, tzinfo=dt.UTC))  # fmt: skip
    for name in ("follows", "several"):
        books.remove("erp_revenue_entries", f"{name}-fee")
        books.change("postings", f"{name}-fee", state="reversed")
        books.posting(f"{name}-fee-2", f"contract_month:{name}:revenue", "800", effect_type="revenue_entry",
                      booked_as="recognition", minutes=0)  # fmt: skip
        books.entry("erp_revenue_entries", f"{name}-fee-2", name, "800", key=f"{name}-fee-2")
        books.decided(f"contract_month:{name}:revenue", "revenue", contract_id=name, outcome="post",
                      amount=Decimal(800))  # fmt: skip
    books.billed("follows-1", "follows", "100")
    books.billed("several-2", "several", "100")
    books.forget("several-1")
    books.change("postings", "several-1", state="withdrawn")
    books.remove("erp_billing_lines", "several-1")
    books.entry("erp_revenue_entries", "stray", "stray", "70", key="nobody-knows")
    books.entry("erp_revenue_entries", "stray-2", "stray", "7", key="nobody-knows-2")
    books.add("cost_rates", "id", id="COST-1", employee_id="EMP-1", per_hour=Decimal(55), currency="GBP",
              valid_from=dt.date(2026, 1, 1))  # fmt: skip
    books.change("approved_time", "cost", cost_amount=Decimal(55))
    books.change("postings", "cost", state="reversed")
    books.posting("cost-back", "cost", "-40", effect_type="cost_transaction", booked_as="labor", leg="reversal",
                  target_key="cost")  # fmt: skip
    books.entry("erp_cost_entries", "cost-back", "cost", "-40", key="cost-back")
    books.posting("cost-2", "cost", "55", effect_type="cost_transaction", booked_as="labor", revision=2)
    books.entry("erp_cost_entries", "cost-2", "cost", "55", key="cost-2")


def causes(found: list[Change], measure: Measure) -> dict[str, dict[Cause, Decimal]]:
    """The parts of a measure by contract."""
    return {
        str(change.contract_id): {part.cause: part.amount for part in change.parts}
        for change in found
        if change.measure is measure
    }


def test_each_difference_has_its_cause(runtime: Runtime, two_runs: tuple[ReportingRun, ReportingRun]) -> None:
    """Finance would look for an edit where a rate has changed, or blame the sync for what was done by hand."""
    found = as_of.changes(runtime, *two_runs)
    assert causes(found, Measure.BILLED) == {
        "new": {Cause.NEW_APPROVAL: Decimal(100)},
        "gone": {Cause.APPROVAL_WITHDRAWN: Decimal(-100)},
        "edit": {Cause.EDIT: Decimal(100)},
        "rate": {Cause.RATE_CHANGE: Decimal(20)},
        "amend": {Cause.CONTRACT_AMENDMENT: Decimal(-10)},
        "map": {Cause.MAPPING_CHANGE: Decimal(-100)},
        "mapped": {Cause.MAPPING_CHANGE: Decimal(100)},
        "credit": {Cause.CREDIT: Decimal(-50)},
        "hold": {Cause.HOLD_CLEARED: Decimal(100)},
        "held": {Cause.HELD: Decimal(-100)},
        "late": {Cause.REACHED_ERP: Decimal(100)},
        "hand": {Cause.MANUAL_CHANGE: Decimal(33)},
        "hand_credit": {Cause.CREDIT: Decimal(-25)},
        "touched": {Cause.MANUAL_CHANGE: Decimal(-10)},
        "silent": {Cause.MANUAL_CHANGE: Decimal(0)},
        "deleted": {Cause.MANUAL_CHANGE: Decimal(-100)},
        "cancelled": {Cause.INVOICE_CANCELLED: Decimal(0)},
        "written_off": {Cause.WRITE_OFF: Decimal(-100)},
        "follows": {Cause.NEW_APPROVAL: Decimal(100)},
        "several": {Cause.NEW_APPROVAL: Decimal(100), Cause.APPROVAL_WITHDRAWN: Decimal(-100)},
    }
    assert causes(found, Measure.INVOICED) == {
        "posted": {Cause.INVOICE_POSTED: Decimal(100)},
        "cancelled": {Cause.INVOICE_CANCELLED: Decimal(-100)},
    }
    assert causes(found, Measure.COST) == {"cost": {Cause.RATE_CHANGE: Decimal(15)}}


def test_what_a_contract_earns_follows_from_its_work(
    runtime: Runtime, two_runs: tuple[ReportingRun, ReportingRun]
) -> None:
    """Recognized revenue would have no cause, although one approval alone has moved it, or a wrong one of several."""
    earned = causes(as_of.changes(runtime, *two_runs, measure=Measure.REVENUE), Measure.REVENUE)
    assert earned["follows"] == {Cause.NEW_APPROVAL: Decimal(400)}
    assert earned["several"] == {
        Cause.SEVERAL: Decimal(300),
        Cause.NEW_APPROVAL: Decimal(100),
        Cause.APPROVAL_WITHDRAWN: Decimal(-100),
    }
    assert earned["stray"] == {Cause.UNATTRIBUTED: Decimal(7)}, "what no fact explains must be seen"


def test_unbilled_work_moves_with_the_invoice_and_its_month(
    runtime: Runtime, two_runs: tuple[ReportingRun, ReportingRun]
) -> None:
    """A posted invoice would not lower WIP, or would in the month of the work."""
    found = as_of.changes(runtime, *two_runs, measure=Measure.WIP)
    moved = {(c.contract_id, c.month): c.difference for c in found}
    assert moved["posted", "2026-10"] == -100
    assert moved["cancelled", "2026-09"] == 100
    assert moved["new", "2026-09"] == 100


def test_the_causes_come_to_the_difference_of_the_marts(
    runtime: Runtime, two_runs: tuple[ReportingRun, ReportingRun]
) -> None:
    """A report would explain another number than the one that people see."""
    found = as_of.changes(runtime, *two_runs)
    assert {c.measure for c in found} == set(Measure)
    for change in found:
        assert sum(part.amount for part in change.parts) == change.difference, change
    for run_, side in zip(two_runs, ("before", "after"), strict=True):
        margin = as_of.model_rows(runtime, "mart_margin", run_)
        revenue: Counter[str] = Counter()
        for row in margin.rows:
            named = dict(zip(margin.columns, row, strict=True))
            revenue[named["contract_id"]] += named["revenue_amount"]
        for change in found:
            if change.measure is Measure.REVENUE:
                assert getattr(change, side) == revenue[str(change.contract_id)]
    assert [c.unattributed for c in found if c.unattributed] == [7, 7], "revenue and WIP of the entry nobody knows"


def test_changes_can_be_narrowed(runtime: Runtime, two_runs: tuple[ReportingRun, ReportingRun]) -> None:
    """Whoever asks about one contract would get them all, or a cause that differs from that in the whole list."""
    (change,) = as_of.changes(
        runtime, *two_runs, legal_entity="UK", contract_id="rate", service_month="2026-09", measure=Measure.BILLED
    )
    assert (change.before, change.after, change.currency) == (100, 120, "GBP")
    assert [(p.cause, p.items, p.ids) for p in change.parts] == [(Cause.RATE_CHANGE, 1, ("rate",))]
    (silent,) = as_of.changes(runtime, *two_runs, contract_id="silent")
    assert (silent.measure, silent.difference, [part.ids for part in silent.parts]) == ("billed", 0, [("silent",)])
    for others in ({"legal_entity": "DE"}, {"service_month": "2026-08"}, {"measure": Measure.COST}):
        assert as_of.changes(runtime, *two_runs, contract_id="silent", **others) == []
    assert as_of.changes(runtime, *two_runs, legal_entity="DE") == []
    assert as_of.changes(runtime, two_runs[1], two_runs[1]) == []


def test_a_model_is_shown_as_it_stood(runtime: Runtime, two_runs: tuple[ReportingRun, ReportingRun]) -> None:
    """An auditor would be shown today's figures for an earlier month-end."""
    earlier, now = two_runs
    mine = {"contract_id": "edit"}
    was = as_of.model_rows(runtime, "fct_billing", earlier, where=mine)
    assert [row[was.columns.index("amount")] for row in was.rows] == [100]
    assert [
        row[was.columns.index("amount")] for row in as_of.model_rows(runtime, "fct_billing", now, where=mine).rows
    ] == [200]
    staging = as_of.model_rows(runtime, "stg_postings", earlier, where={"object_id": "edit"})
    assert [row[staging.columns.index("state")] for row in staging.rows] == ["verified"], "views are of their time too"
    whole = as_of.model_rows(runtime, "fct_billing")
    page = as_of.model_rows(runtime, "fct_billing", limit=2, offset=1)
    assert (page.rows, page.total) == (whole.rows[1:3], whole.total)


def test_the_rows_that_differ_are_found_by_the_grain(
    runtime: Runtime, two_runs: tuple[ReportingRun, ReportingRun]
) -> None:
    """A changed row would be told as one that went and one that came, or be missed."""
    found = as_of.model_changes(runtime, "stg_postings", *two_runs)
    kinds = {(row.key[0], row.kind) for row in found.rows}
    assert ("new", "added") in kinds
    assert ("gone", "changed") in kinds
    assert ("same", "changed") not in kinds
    assert (found.added, found.removed) == (len([1 for _, kind in kinds if kind == "added"]), 0)
    lines = as_of.model_changes(runtime, "stg_billing_lines", *two_runs)
    assert ("deleted", "removed") in {(row.key[lines.grain.index("billing_line_id")], row.kind) for row in lines.rows}
    assert as_of.model_changes(runtime, "stg_postings", two_runs[1], two_runs[1]).rows == []


def test_runs_are_found_by_id_and_time(runtime: Runtime, two_runs: tuple[ReportingRun, ReportingRun]) -> None:
    """A month-end would be compared with a run that was made after it."""
    earlier, now = two_runs
    assert as_of.find_run(runtime, "latest") == now
    assert as_of.find_run(runtime, str(earlier.id)) == earlier
    assert as_of.find_run(runtime, earlier.published_at.isoformat()) == earlier
    assert as_of.find_run(runtime, f"{now.published_at:%Y-%m-%d}") == now
    assert (earlier.month_end, now.month_end) == (None, f"{now.published_at:%Y-%m}")
    for text, said in (("99999", "no reporting run 99999"), ("2020-01-01", "the first is"), ("soon", "is no run")):
        with pytest.raises(as_of.NoSuchRunError, match=said):
            as_of.find_run(runtime, text)
    with pytest.raises(as_of.UnknownModelError, match="no model 'mart_of_nothing'"):
        as_of.model_rows(runtime, "mart_of_nothing", now)
    with pytest.raises(as_of.UnknownModelError, match="has no column colour"):
        as_of.model_rows(runtime, "fct_billing", now, where={"colour": "red"})


def test_every_word_has_a_meaning() -> None:
    """A page would show a code that nobody explains."""
    assert set(CAUSES) == set(Cause)
    assert set(MEASURES) == set(Measure)


def test_the_commands_say_the_same(
    environ: dict[str, str], two_runs: tuple[ReportingRun, ReportingRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever works in a terminal, or in a spreadsheet, would have no way to the past."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "300")
    was, now = (str(r.id) for r in two_runs)

    def told(*words: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["reports", *words])
        assert result.exit_code == code, result.output
        return result.output

    assert f"{two_runs[0].published_at:%Y-%m-%d %H:%M}" in told("list")
    rows = list(csv.DictReader(io.StringIO(told("show", "fct_billing", "--as-of", was, "--csv", "--limit", "0"))))
    assert {row["amount"] for row in rows if row["contract_id"] == "edit"} == {"100.0000"}
    assert "contract_amendment" in told("changes", "--from", was, "--to", now, "--contract", "amend")
    assert "verified" in told("diff", "stg_postings", "--from", was, "--to", now)
    assert '"removed": 1' in told("diff", "stg_adjustments", "--from", now, "--to", was, "--json")
    assert "exclude each other" in told("show", "fct_billing", "--json", "--csv", code=1)
    assert "no reporting run 4711" in told("show", "fct_billing", "--as-of", "4711", code=1)


def test_upkeep_keeps_runs_and_month_ends_and_says_what_is_gone(
    runtime: Runtime, two_runs: tuple[ReportingRun, ReportingRun]
) -> None:
    """The books of a closed month could not be shown any more, or the lake would grow for ever."""
    run(runtime, before())
    earlier, now, last = *two_runs, as_of.find_run(runtime, "latest")
    clock = runtime.clock
    try:
        runtime.clock = lambda: clock() + dt.timedelta(days=30)
        assert lake_upkeep.kept_snapshots(runtime) == {earlier.lake_snapshot, now.lake_snapshot, last.lake_snapshot}
        runtime.clock = lambda: clock() + dt.timedelta(days=500)
        kept = lake_upkeep.kept_snapshots(runtime)
        assert kept == {last.lake_snapshot}, "the last run of its month alone"
        runtime.clock = lambda: clock() + dt.timedelta(days=6000)
        assert lake_upkeep.kept_snapshots(runtime) == set()
    finally:
        runtime.clock = clock
    # The lake's own clock cannot be set: everything that exists is older than nothing.
    wanted = as_of.model_rows(runtime, "fct_billing", now).rows
    done = runtime.lake.maintain(keep=dt.timedelta(0), kept={now.lake_snapshot})
    assert done.snapshots_expired > 0
    assert [r.kept for r in as_of.runs(runtime) if r.id in (earlier.id, now.id)] == [True, False]
    assert as_of.model_rows(runtime, "fct_billing", now).rows == wanted, "a kept state must stay whole"
    with pytest.raises(as_of.ExpiredRunError, match=rf"run {earlier.id} .*for 400 days.*can be read: .*{now.id}"):
        as_of.model_rows(runtime, "fct_billing", earlier)
    with pytest.raises(as_of.ExpiredRunError):
        as_of.changes(runtime, earlier, now)


def test_runs_of_others_are_not_listed(runtime: Runtime, two_runs: tuple[ReportingRun, ReportingRun]) -> None:
    """A tenant would read the reports of another one in the same store."""
    with runtime.engine.begin() as connection:
        reporting_runs.add(connection, "somebody", lake_snapshot=1, models=1, published_at=runtime.clock())
    assert as_of.find_run(runtime, "latest").id >= two_runs[1].id
    assert 1 not in {r.models for r in as_of.runs(runtime)}


def test_no_state_is_taken_for_an_empty_one(runtime: Runtime, two_runs: tuple[ReportingRun, ReportingRun]) -> None:
    """A model that came later would look as if it had had no rows."""
    first = ReportingRun(id=0, published_at=two_runs[0].published_at, lake_snapshot=1, models=0, kept=True,
                         month_end=None)  # fmt: skip
    if runtime.lake.readable([1]):
        with pytest.raises(as_of.UnknownModelError, match="there was no model"):
            as_of.model_rows(runtime, "fct_billing", first)
    assert MONTH["service_month"] == "2026-09"
