"""The end of a month: what is unexplained blocks it, in Dagster and for `psa-erp reconcile --gate`."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import delete, insert
from typer.testing import CliRunner

from psa_erp_assets.adapters.store import exceptions
from psa_erp_assets.adapters.store.exceptions import Sighting
from psa_erp_assets.adapters.store.schema import erp_document, exception_item
from psa_erp_assets.cli.app import app
from psa_erp_assets.contracts.lake_tables import LAKE_TABLES
from psa_erp_assets.defs import month_end, resources
from psa_erp_assets.defs.assets import reconciliation
from psa_erp_assets.defs.catalog import load_catalog
from psa_erp_assets.defs.partitions import LEGAL_ENTITIES, key_of
from psa_erp_assets.domain.decision import Outcome
from psa_erp_assets.domain.reconcile import Difference, Reconciled
from psa_erp_assets.services import gate
from psa_erp_assets.services.gate import Look
from psa_erp_assets.services.reconciliation import Reconciliation, reconcile
from psa_erp_assets.services.runtime import Runtime, open_runtime
from psa_erp_assets.settings import Settings
from psa_erp_assets_tests.support.store import NOW, keep_master, psa_payload, receive

SEPTEMBER = ("UK", "2026-09")
STRANGER = "0" * 32


@pytest.fixture
def runtime(stores: Settings) -> Iterator[Runtime]:
    """The small company with an hour of work in the UK's September, in stores that are real."""
    with open_runtime(stores) as opened:
        keep_master(opened.engine)
        receive(opened.engine, psa_payload("e1", 60))
        opened.lake.ensure_tables(LAKE_TABLES.values())
        yield opened


def put_stranger(runtime: Runtime, company: str) -> None:
    """A line in the ERP under a key that the ledger does not know."""
    with runtime.engine.begin() as connection:
        connection.execute(
            insert(erp_document).values(
                tenant=runtime.settings.tenant,
                erp_company=company,
                effect_type="billing_line",
                erp_id="77",
                key=STRANGER,
                service_month=SEPTEMBER[1],
                service_date=NOW.date(),
                minutes=60,
                amount=Decimal(99),
                currency="GBP",
                posted=False,
                read_at=NOW,
            )
        )


def company_of(runtime: Runtime) -> str:
    from psa_erp_assets.services.read_back import erp_company

    return erp_company(runtime, "UK")


def end_month(runtime: Runtime, instance: dg.DagsterInstance, home: Path) -> dg.ExecuteInProcessResult:
    """Compare the month and end it, as the job does after it has read the ERP."""
    instance.add_dynamic_partitions(LEGAL_ENTITIES.name or "", ["UK"])
    compared = [
        asset
        for asset in reconciliation.assets(load_catalog(home / "cache"))
        if asset.keys == {dg.AssetKey("three_way_reconciliation")}
    ]
    return dg.materialize(
        [*compared, month_end.month_end, month_end.nothing_is_unexplained],
        instance=instance,
        partition_key=key_of(SEPTEMBER),
        resources={resources.RUNTIME: runtime},
        raise_on_error=False,
    )


def test_only_an_explained_month_ends(runtime: Runtime, instance: dg.DagsterInstance, catalog_home: Path) -> None:
    """Finance would close a month over a line that nobody knows, or could never close one."""
    put_stranger(runtime, company_of(runtime))
    done = end_month(runtime, instance, catalog_home)
    assert not done.success
    (judged,) = done.get_asset_check_evaluations()
    assert (judged.passed, judged.metadata["unexplained"].value) == (False, 1)
    assert "unknown_key" in str(judged.metadata["rows"].value)
    assert done.asset_materializations_for_node("month_end") == []
    with runtime.engine.begin() as connection:
        connection.execute(delete(erp_document))
    done = end_month(runtime, instance, catalog_home)
    assert done.success
    assert [judged.passed for judged in done.get_asset_check_evaluations()] == [True]
    (ended,) = done.asset_materializations_for_node("month_end")
    assert ended.metadata["entries"].value == 1


def test_the_gate_looks_at_entries_postings_and_the_ledger(runtime: Runtime) -> None:
    """A cost that was changed in the ERP, or an account that is off, would pass because no billing line is."""
    put_stranger(runtime, company_of(runtime))
    drifted = Sighting(
        code="posting_drift",
        object_id="time_entry:clockify:e1",
        detail="cost: sent 40.00 GBP, the ERP has 41.00 GBP",
        evidence={},
        legal_entity="UK",
        service_month="2026-09",
    )
    elsewhere = Sighting(code="posting_drift", object_id="x", detail="another month", evidence={}, legal_entity="UK",
                         service_month="2026-10")  # fmt: skip
    with runtime.engine.begin() as connection:
        exceptions.open_or_touch(
            connection, runtime.settings.tenant, "posting:cost_transaction", [drifted, elsewhere], NOW
        )
    judged = gate.of_results(runtime, [reconcile(runtime, SEPTEMBER)])
    assert not judged.passed
    assert [(f.look, f.code) for f in judged.findings] == [
        (Look.RECONCILIATION, "unknown_key"),
        (Look.POSTINGS, "posting_drift"),
    ]
    assert judged.findings[0].amount == 99
    assert all(f.next_step for f in judged.findings)
    with runtime.engine.begin() as connection:
        connection.execute(delete(erp_document))
        connection.execute(delete(exception_item))
    assert gate.of_results(runtime, [reconcile(runtime, SEPTEMBER)]).passed
    assert not gate.of_results(runtime, []).passed, "where nothing was compared, nothing is known"


def test_the_gate_says_in_what_a_document_differs(runtime: Runtime) -> None:
    """A line on another customer has the same amount on both sides, and nobody would see what is wrong with it."""
    row = Reconciled(object_id="e1", contract_id="CTR-1", outcome=Outcome.POST, approved_minutes=60, minutes={},
                     erp_minutes=60, invoiced_minutes=0, approved_amount=Decimal(90), erp_amount=Decimal(90),
                     invoiced_amount=Decimal(0), currency="GBP", difference=Difference.MANUAL_CHANGE,
                     changes=("customer: sent 1, the ERP has 2",))  # fmt: skip
    [finding] = gate.of_results(runtime, [Reconciliation(partition=SEPTEMBER, rows=(row,))]).findings
    assert finding.detail == "approved 90, ERP 90 GBP; customer: sent 1, the ERP has 2"


def test_an_account_that_is_off_is_found_once_the_store_has_been_built(runtime: Runtime) -> None:
    """The books could be changed by hand and the month would end all the same."""
    from psa_erp_assets.adapters.store import reporting_runs

    amounts = "expected_amount DECIMAL(18,4), ledger_amount DECIMAL(18,4), difference_amount DECIMAL(18,4)"
    rest = "tolerance_amount DECIMAL(18,4), currency VARCHAR"
    with runtime.lake.connection() as connection:
        connection.execute(
            f"CREATE TABLE mart_general_ledger_tie (legal_entity VARCHAR, ledger_month VARCHAR, role VARCHAR,"
            f" {amounts}, {rest}, next_step VARCHAR, ledger_was_read BOOLEAN)"
        )
        connection.execute(
            "INSERT INTO mart_general_ledger_tie VALUES"
            " ('UK', '2026-09', 'revenue', 100, 105, -5, 1, 'GBP', 'List the entries.', true),"
            " ('UK', '2026-09', 'tax', 100, 101, -1, 1, 'GBP', 'Nothing.', true),"
            " ('UK', '2026-09', 'labor', 100, 0, 100, 1, 'GBP', 'Wait.', false),"
            " ('UK', '2026-10', 'revenue', 100, 105, -5, 1, 'GBP', 'List the entries.', true),"
            " ('DE', '2026-09', 'revenue', 100, 105, -5, 1, 'EUR', 'List the entries.', true)"
        )
        connection.execute(
            f"CREATE TABLE mart_receivables_tie (legal_entity VARCHAR, open_amount DECIMAL(18,4),"
            f" ledger_amount DECIMAL(18,4), difference_amount DECIMAL(18,4), {rest})"
        )
        connection.execute(
            "INSERT INTO mart_receivables_tie VALUES ('UK', 10, 7, 3, 0, 'GBP'), ('DE', 10, 7, 3, 0, 'EUR')"
        )
    found = [reconcile(runtime, SEPTEMBER)]
    assert gate.of_results(runtime, found).passed, "a store that was never published says nothing"
    with runtime.engine.begin() as connection:
        reporting_runs.add(connection, runtime.settings.tenant, lake_snapshot=1, models=1, published_at=NOW)
    judged = gate.of_results(runtime, found)
    assert [(f.look, f.code, f.amount) for f in judged.findings] == [
        (Look.GENERAL_LEDGER, "revenue", 5),
        (Look.GENERAL_LEDGER, "receivable", -3),
    ]
    assert judged.ledger_as_of == NOW


def test_a_month_without_work_does_not_pass(
    runtime: Runtime, stores: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A typing error in the month would let a release through."""
    assert stores.database_url is not None
    monkeypatch.setenv("PSA_ERP_HOME", str(stores.home))
    monkeypatch.setenv("PSA_ERP_DATABASE_URL", stores.database_url.get_secret_value())
    result = CliRunner().invoke(app, ["reconcile", "--gate", "--month", "2027-09", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["passed"] is False
    assert "nothing was compared" in result.stderr
