"""The whole chain of one partition in Dagster: real stores, the vendor sandboxes and a real Tryton."""

import dagster as dg
import pytest

from psa_erp_assets.adapters.store import time_entries
from psa_erp_assets.definitions import build_defs
from psa_erp_assets.defs.sensors import approvals_sensor
from psa_erp_assets.sandbox.actors import Actors
from psa_erp_assets.sandbox.company_model import RequestState
from psa_erp_assets.services import as_of, sync
from psa_erp_assets.services.runtime import Runtime, open_runtime
from psa_erp_assets_tests.defs.conftest import World

KEY = "UK|2026-09"
CONTRACT_MONTHS = ("DE|2026-11", "US|2026-11")
"""Partitions without any work: nothing but months of contracts that go on."""

ON_THE_WAY = ("posting_plan", "draft_invoice_lines", "cost_transactions", "intercompany_charges", "revenue_entries")


def run(defs: dg.Definitions, instance: dg.DagsterInstance, job: str, **options: object) -> dg.ExecuteInProcessResult:
    return defs.resolve_job_def(job).execute_in_process(instance=instance, **options)  # type: ignore[arg-type]


def metadata_of(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, object]:
    """What the asset's materialization says, as plain values."""
    [event] = [
        e
        for e in result.get_asset_materialization_events()
        if e.asset_key is not None and e.asset_key.to_user_string() == asset
    ]
    return {name: value.value for name, value in event.materialization.metadata.items()}


def pending_in_the_uk(people: Actors, runtime: Runtime) -> list[str]:
    """Approval requests that wait and have an entry of the partition."""
    with runtime.engine.connect() as connection:
        mine = {e.id for e in time_entries.in_partition(connection, runtime.settings.tenant, ("UK", "2026-09"))}
    return [
        request["approvalRequest"]["id"]
        for request in people.requests_in(RequestState.PENDING)
        if any(f"time_entry:clockify:{entry['id']}" in mine for entry in request["entries"])
    ]


# Dagster itself names the tags of a key of two dimensions so.
@pytest.mark.filterwarnings("ignore:Non-compliant tag keys:DeprecationWarning")
@pytest.mark.tryton
def test_a_partition_goes_from_the_psa_to_the_reporting_file(world: World, daemon_instance: dg.DagsterInstance) -> None:
    """If this fails, some asset does not do its service's work, or writes rows that break its boundary's contract.

    Or a few approvals are not posted by the sensor's tick, and take as long as a run's process needs to start.
    """
    defs, instance = build_defs(world.settings), daemon_instance
    run(defs, instance, "extraction")
    assert sorted(instance.get_dynamic_partitions("legal_entity")) == ["DE", "UK", "US"]

    month = run(defs, instance, "month_sync", partition_key=KEY)
    reconciled = metadata_of(month, "three_way_reconciliation")
    assert reconciled["unexplained"] == 0
    assert reconciled["billed_minutes"] > 0
    assert reconciled["approved_minutes"] == sum(
        reconciled[f"{part}_minutes"] for part in ("billed", "non_billable", "held", "pending")
    )
    assert reconciled["pending_minutes"] == 0
    checked = run(defs, instance, "table_checks")
    evaluations = {e.check_name: e for e in checked.get_asset_check_evaluations()}
    assert {"minutes_balance", "ledger_equals_erp"} <= evaluations.keys()
    failed = {name for name, e in evaluations.items() if not e.passed}
    assert failed == {"every_approved_entry_can_be_posted"}
    held = evaluations["every_approved_entry_can_be_posted"]
    assert held.severity is dg.AssetCheckSeverity.WARN
    rows = str(held.metadata["rows"].value)
    assert "time_entry:clockify:" in rows
    assert "next_step" in rows

    again = run(defs, instance, "month_sync", partition_key=KEY)
    assert metadata_of(again, "draft_invoice_lines")["requests"] == 0
    assert metadata_of(again, "posting_ledger")["changed"] is False

    report = run(defs, instance, "reporting")
    assert all(e.passed for e in report.get_asset_check_evaluations()), report.get_asset_check_evaluations()
    assert (world.settings.home / "reporting.duckdb").exists()
    assert "data:image/svg+xml" in str(metadata_of(report, "mart_margin")["chart"])
    assert run(defs, instance, "month_end_gate", partition_key=KEY).success

    with open_runtime(world.settings) as runtime:
        (recorded,) = as_of.runs(runtime)
        assert recorded.lake_snapshot == metadata_of(report, "reporting_store")["lake_snapshot"]
        assert as_of.model_rows(runtime, "mart_margin", recorded).total > 0
        world.people.approve(pending_in_the_uk(world.people, runtime))
        sync.sweep(runtime, complete=False)
        with dg.build_sensor_context(
            instance=instance, instance_ref=instance.get_ref(), definitions=defs, resources={"runtime": runtime}
        ) as context:
            tick = approvals_sensor.evaluate_tick(context)
    posted = {(event.asset_key.to_user_string(), event.partition) for event in tick.asset_events}
    assert posted == {(name, key) for name in ON_THE_WAY for key in (KEY, *CONTRACT_MONTHS)}
    others = {str(request.partition_key) for request in tick.run_requests}
    assert others == {"DE|2026-09", "DE|2026-10", "UK|2026-10", "US|2026-09", "US|2026-10"}
