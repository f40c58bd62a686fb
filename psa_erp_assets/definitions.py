"""The only place where Dagster's definitions are put together.

Loading them reads the settings and the SQL models, and needs no PostgreSQL, no ERP and no secret.
"""

import dagster as dg

from psa_erp_assets.defs import audit, checks, jobs, month_end, policies, resources, schedules, sensors
from psa_erp_assets.defs.assets import (
    approved_work,
    cost_transactions,
    draft_invoice_lines,
    master_data,
    reconciliation,
    reporting,
    revenue,
)
from psa_erp_assets.defs.catalog import load_catalog
from psa_erp_assets.settings import Settings, load_settings

# Steps of a backfill that run at once; each is a process.
_BACKFILL_STEPS = 2


def build_defs(settings: Settings | None = None, open_runtime: resources.OpenRuntime | None = None) -> dg.Definitions:
    """Fresh definitions on each call, so that nothing is shared between tests.

    `settings` are read from the environment if not given, anew for each run; `open_runtime` takes the place of the
    services' runtime. Raises ConfigError and SqlModelError, with every problem found.
    """
    catalog = load_catalog((settings or load_settings()).home / "cache")
    opened = open_runtime or resources.opener(lambda: settings or load_settings())
    assets = [
        *master_data.assets(catalog),
        *approved_work.assets(catalog),
        *draft_invoice_lines.assets(catalog),
        *cost_transactions.assets(),
        *revenue.assets(),
        *reconciliation.assets(catalog),
        *reporting.assets(catalog),
        audit.audit_log,
        month_end.month_end,
    ]
    return dg.Definitions(
        assets=dg.map_asset_specs(policies.of_group, assets),
        asset_checks=[*checks.checks(catalog), audit.audit_log_holds, month_end.nothing_is_unexplained],
        jobs=[*jobs.JOBS, *audit.JOBS, *month_end.JOBS],
        schedules=[*schedules.SCHEDULES, *audit.SCHEDULES],
        sensors=sensors.SENSORS,
        resources={resources.RUNTIME: resources.runtime_resource(opened)},
        executor=dg.multiprocess_executor.configured({"max_concurrent": _BACKFILL_STEPS}),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What `workspace.yaml` loads."""
    return build_defs()
