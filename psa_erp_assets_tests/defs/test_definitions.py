"""The definitions as a whole: they load anywhere, and every asset says what it is and whose it is."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from psa_erp_assets.defs.assets import master_data
from psa_erp_assets.defs.jobs import JOBS
from psa_erp_assets.services.master_data import REFRESHES
from psa_erp_assets.settings import REPOSITORY

GROUPS = {
    "master_data",
    "approved_work",
    "cost_transactions",
    "draft_invoice_lines",
    "reconciliation",
    "reporting",
    "revenue",
}
PARTITIONED = {
    "approved_time",
    "posting_plan",
    "draft_invoice_lines",
    "cost_transactions",
    "intercompany_charges",
    "revenue_entries",
    "erp_intercompany_charges",
    "erp_revenue_entries",
    "posting_ledger",
    "erp_billing_lines",
    "erp_cost_entries",
    "erp_invoices",
    "erp_payments",
    "three_way_reconciliation",
    "month_end",
}

LOAD = """
import sys
from psa_erp_assets.definitions import build_defs
build_defs()
build_defs().resolve_job_def("near_real_time")
heavy = {"pandas", "pandera", "duckdb", "pyarrow", "sqlglot", "psycopg", "psa_erp_assets.services"} & set(sys.modules)
print(",".join(sorted(heavy)))
"""


def load(home: Path) -> str:
    """What a fresh process with an empty environment has imported after loading the definitions."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD],
        env={"PSA_ERP_HOME": str(home), "PATH": os.environ["PATH"]},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_they_load_without_a_service_a_secret_or_a_slow_import(defs: dg.Definitions, catalog_home: Path) -> None:
    """A run's process loads the definitions anew: what they import, each approval waits for."""
    assert load(catalog_home) == ""


def test_dagsters_own_validation_accepts_them(defs: dg.Definitions) -> None:
    """An asset, check, job or schedule that refers to what is not there would only show in the UI."""
    dg.Definitions.validate_loadable(defs)


def test_every_asset_is_described_grouped_owned_tagged_and_versioned(defs: dg.Definitions) -> None:
    """An operator who finds an asset in the UI must learn what it is, where it comes from and whom to ask."""
    specs = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}
    assert len(specs) > 40
    for name, spec in specs.items():
        assert spec.description, name
        assert len(spec.description) > 30, name
        assert spec.group_name in GROUPS, name
        assert spec.owners, name
        assert all(owner.startswith("team:") for owner in spec.owners), name
        assert spec.kinds, name
        assert spec.code_version, name


def test_everything_financial_is_by_legal_entity_and_service_month(defs: dg.Definitions) -> None:
    """A financial asset without partitions could not be replayed for one month."""
    partitioned = {s.key.to_user_string() for s in defs.resolve_all_asset_specs() if s.partitions_def is not None}
    assert partitioned == PARTITIONED


def test_there_is_an_asset_for_each_kind_of_master_data() -> None:
    """A kind that the services can refresh and no asset refreshes would go stale unseen."""
    assert [kind.name for kind in master_data.KINDS] == list(REFRESHES)


def test_every_sql_model_is_an_asset_with_its_columns_its_lineage_and_its_tests(defs: dg.Definitions) -> None:
    """A model without an asset is never built; one without its tests is never checked."""
    files = {path.stem for path in (REPOSITORY / "dbt_like_sql").rglob("*.sql")}
    specs = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}
    assert files
    assert files <= specs.keys()
    for name in files:
        assert specs[name].metadata["dagster/column_schema"], name
        assert specs[name].metadata["dagster/column_lineage"].deps_by_column, name
        assert specs[name].deps, name
    checked = (
        {key.asset_key.to_user_string() for key in defs.resolve_all_asset_check_keys()}
        if hasattr(defs, "resolve_all_asset_check_keys")
        else {k.asset_key.to_user_string() for k in defs.resolve_asset_graph().asset_check_keys}
    )
    assert files <= checked


@pytest.mark.parametrize("job", [job.name for job in JOBS])
def test_every_job_can_be_resolved(defs: dg.Definitions, job: str) -> None:
    """A job whose selection has lost an asset fails when it is launched, not before."""
    assert defs.resolve_job_def(job).name == job


def test_nothing_but_the_postings_themselves_is_on_the_way_of_an_approval(defs: dg.Definitions) -> None:
    """Each further step of the near-real-time job is a second that an approval takes longer to reach the ERP."""
    nodes = {node.name for node in defs.resolve_job_def("near_real_time").nodes}
    assert nodes == {
        "posting_plan",
        "draft_invoice_lines",
        "cost_transactions",
        "intercompany_charges",
        "revenue_entries",
    }
