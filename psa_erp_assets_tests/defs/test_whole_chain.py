"""The whole chain of one partition in Dagster: real stores, the vendor sandboxes and a real Tryton."""

import dagster as dg
import pytest

from psa_erp_assets.definitions import build_defs
from psa_erp_assets.settings import Settings

KEY = "UK|2026-09"


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


@pytest.mark.tryton
def test_a_partition_goes_from_the_psa_to_the_reporting_file(world: Settings, instance: dg.DagsterInstance) -> None:
    """If this fails, some asset does not do its service's work, or writes rows that break its boundary's contract."""
    defs = build_defs(world)
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
    evaluations = {e.check_name: e for e in month.get_asset_check_evaluations()}
    failed = {name for name, e in evaluations.items() if not e.passed}
    assert failed == {"every_approved_entry_can_be_posted"}
    held = evaluations["every_approved_entry_can_be_posted"]
    assert held.severity is dg.AssetCheckSeverity.WARN
    assert "time_entry:clockify:" in str(held.metadata["rows"].value)

    again = run(defs, instance, "month_sync", partition_key=KEY)
    assert metadata_of(again, "draft_invoice_lines")["requests"] == 0
    assert metadata_of(again, "posting_ledger")["changed"] is False

    report = run(defs, instance, "reporting")
    assert all(e.passed for e in report.get_asset_check_evaluations()), report.get_asset_check_evaluations()
    assert (world.home / "reporting.duckdb").exists()
