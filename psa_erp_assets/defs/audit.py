"""The audit log in Dagster: sealed every few minutes, verified each night."""

from typing import Any

import dagster as dg

from psa_erp_assets.defs import policies
from psa_erp_assets.defs.resources import RUNTIME, runtime_of

_RUNNING = dg.DefaultScheduleStatus.RUNNING
_CHECK = "audit_log_holds"


@policies.asset(
    group_name=policies.RECONCILIATION,
    description="The audit log: every payload, decision, plan, approval, attempt, answer and change of settings at its "
    "place in a Merkle tree, whose root is signed outside of the database. Fails where an old backup was restored.",
    deps=[],
    kinds={"postgres"},
    code_version="1",
)
def audit_log(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
    """Seal what waits."""
    from psa_erp_assets.services import audit_erasure  # noqa: PLC0415 - services are imported by runs alone
    from psa_erp_assets.services import audit_log as log  # noqa: PLC0415

    runtime = runtime_of(context)
    expired = audit_erasure.expire(runtime.engine, runtime.settings, now=runtime.clock())
    report = log.seal(runtime.engine, runtime.settings, now=runtime.clock())
    return dg.MaterializeResult(
        metadata={
            "entries": report.size,
            "entries_added": sum(report.added.values()),
            "checkpoint": report.checkpoint or 0,
            "delivered": {None: "nothing to send", True: "yes", False: "no"}[report.delivered],
            "rows_erased_by_retention": expired,
        }
    )


@dg.asset_check(
    name=_CHECK,
    asset=audit_log,
    description="Every entry says what its row says, and the log is the one that was signed: nothing was edited, "
    "deleted, put into another order, cut off or restored from an old backup.",
    required_resource_keys={RUNTIME},
)
def audit_log_holds(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Verify the whole log."""
    from psa_erp_assets.services import audit_log as log  # noqa: PLC0415

    runtime = runtime_of(context)
    found = log.verify(runtime.engine, runtime.settings, now=runtime.clock()).findings
    return dg.AssetCheckResult(
        passed=found.holds,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "entries": found.leaves,
            "checkpoints": found.checkpoints,
            "problems": found.count,
            "first_problems": "\n".join(f"{p.what} {p.seq or ''} {p.detail}" for p in found.problems[:20]) or "none",
        },
    )


audit_seal = dg.define_asset_job(
    "audit_seal",
    selection=dg.AssetSelection.assets("audit_log").without_checks(),
    description="Puts what was committed into the audit log and signs its new root.",
    executor_def=dg.in_process_executor,
)
audit_verification = dg.define_asset_job(
    "audit_verification",
    selection=dg.AssetSelection.assets("audit_log"),
    description="Seals the audit log, then compares all of it with its rows and with what was signed.",
    executor_def=dg.in_process_executor,
)
JOBS = [audit_seal, audit_verification]
SCHEDULES = [
    dg.ScheduleDefinition(
        name="hourly_audit_seal",
        job=audit_seal,
        cron_schedule="55 * * * *",
        default_status=_RUNNING,
        description="Each hour: the audit log is sealed, also where no console runs, which does so each minute.",
    ),
    dg.ScheduleDefinition(
        name="nightly_audit_verification",
        job=audit_verification,
        cron_schedule="45 4 * * *",
        default_status=_RUNNING,
        description="Each night: the whole audit log is verified.",
    ),
]
