"""Jobs: which assets run together, and how.

Everything that schedules and sensors start runs in one process: a step takes tenths of a second there and five
seconds in a process of its own. Backfills started in the UI use the default executor, which is multi-process; on a
cluster the same jobs take the dagster-celery or dagster-k8s executor there.
"""

import dagster as dg

from psa_erp_assets.defs import policies

# What an approval waits for. Copies in the lake follow with the hour, so that they take no second of it.
CRITICAL_PATH = ("posting_plan", "draft_invoice_lines", "cost_transactions", "intercompany_charges", "revenue_entries")

# Of the runs that wait for a process, those that somebody waits for come first.
_FIRST = {"dagster/priority": "10"}

_MONTH = dg.AssetSelection.assets(
    "approved_time",
    "posting_plan",
    "draft_invoice_lines",
    "cost_transactions",
    "intercompany_charges",
    "revenue_entries",
    "posting_ledger",
    "erp_billing_lines",
    "erp_cost_entries",
    "erp_intercompany_charges",
    "erp_revenue_entries",
    "erp_invoices",
    "erp_payments",
    "three_way_reconciliation",
)

_KEYS = dg.AssetSelection.assets("source_keys")

extraction = dg.define_asset_job(
    "extraction",
    selection=(dg.AssetSelection.groups(policies.MASTER_DATA) - _KEYS)
    | dg.AssetSelection.assets("time_entry_inbox", "milestone_inbox"),
    description="Reads every system of record: master data, then time entries and approvals. Posts nothing; what it "
    "finds changed is posted by the runs that the approvals sensor then asks for.",
    executor_def=dg.in_process_executor,
)

key_sweep = dg.define_asset_job(
    "key_sweep",
    selection=_KEYS,
    description="Compares the full lists of keys of CRM and HR with what was read last, and reads again what differs.",
    executor_def=dg.in_process_executor,
)

near_real_time = dg.define_asset_job(
    "near_real_time",
    selection=dg.AssetSelection.assets(*CRITICAL_PATH).without_checks(),
    description="Posts what has just been approved in one partition, limited by the tag psa_erp/contracts to the "
    "contracts that changed.",
    run_tags=_FIRST,
    executor_def=dg.in_process_executor,
)

month_sync = dg.define_asset_job(
    "month_sync",
    selection=_MONTH.without_checks(),
    description="A whole partition from approved time to reconciliation: plan, post, copy to the lake, read the ERP "
    "back and compare.",
    executor_def=dg.in_process_executor,
)

table_checks = dg.define_asset_job(
    "table_checks",
    selection=_MONTH & dg.AssetSelection.all_asset_checks(),
    description="Every contract and invariant of the tables that month_sync fills, once for all of its partitions: a "
    "check looks at the whole table.",
    executor_def=dg.in_process_executor,
)

reporting = dg.define_asset_job(
    "reporting",
    selection=dg.AssetSelection.assets("exceptions")
    | (dg.AssetSelection.groups(policies.REPORTING) - dg.AssetSelection.assets("lake_maintenance")),
    description="Builds and tests every SQL model on the lake and publishes the reporting file.",
    executor_def=dg.in_process_executor,
)

lake_maintenance = dg.define_asset_job(
    "lake_upkeep",
    selection=dg.AssetSelection.assets("lake_maintenance"),
    description="Merges small files of the lake and forgets old states.",
    executor_def=dg.in_process_executor,
)

JOBS = [extraction, key_sweep, near_real_time, month_sync, table_checks, reporting, lake_maintenance]
