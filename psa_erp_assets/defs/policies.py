"""What holds for many assets: owners by group, pools, and which failures pass by themselves."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import dagster as dg

from psa_erp_assets.defs.partitions import PARTITIONS
from psa_erp_assets.defs.resources import RUNTIME

MASTER_DATA, APPROVED_WORK = "master_data", "approved_work"
COST_TRANSACTIONS, DRAFT_INVOICE_LINES, REVENUE = "cost_transactions", "draft_invoice_lines", "revenue"
RECONCILIATION, REPORTING = "reconciliation", "reporting"

_FINANCE, _ENGINEERING = "team:finance-operations", "team:integration-engineering"
_OWNERS = {
    MASTER_DATA: [_ENGINEERING],
    APPROVED_WORK: [_ENGINEERING],
    COST_TRANSACTIONS: [_FINANCE, _ENGINEERING],
    DRAFT_INVOICE_LINES: [_FINANCE, _ENGINEERING],
    REVENUE: [_FINANCE, _ENGINEERING],
    RECONCILIATION: [_FINANCE],
    REPORTING: [_FINANCE],
}

# Steps that share a vendor's quota share a pool; none has a limit until an operator gives it one.
PSA_POOL, CRM_POOL, HR_POOL, ERP_POOL, POSTING_POOL = "psa", "crm", "hr", "erp", "posting"

_TRIES, _FIRST_WAIT_SECONDS = 3, 5

_P = ParamSpec("_P")
_R = TypeVar("_R")


def of_group(spec: dg.AssetSpec) -> dg.AssetSpec:
    """The spec with what its group has in common."""
    group = spec.group_name or ""
    return spec.replace_attributes(owners=_OWNERS[group])


def asset(**options: Any) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """`dg.asset` with the runtime, and with another try for trouble that passes."""

    def decorate(function: Callable[..., Any]) -> dg.AssetsDefinition:
        made: dg.AssetsDefinition = dg.asset(**{"required_resource_keys": {RUNTIME}, **options})(trying_again(function))
        return made

    return decorate


def partitioned_asset(**options: Any) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """An asset by legal entity and service month. A run has one partition; a backfill is as many runs."""
    return asset(**{"partitions_def": PARTITIONS, **options})


def trying_again(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Has the step run again, after a while, where trouble passes by itself. Its first argument is the context.

    All else ends the step at once: what a person must mend (credentials, settings, suspicious data) and what is a
    mistake of ours are the same at every try.
    """

    @functools.wraps(function)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if not _passes(error):
                raise
            context: Any = args[0]
            wait = _FIRST_WAIT_SECONDS * 2**context.retry_number
            raise dg.RetryRequested(max_retries=_TRIES, seconds_to_wait=wait) from error

    return wrapped


def _passes(error: Exception) -> bool:
    # Imported here: the definitions load without the services, and a run that raised one of these has them already.
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

    from psa_erp_assets.adapters.connectors.tryton.rpc import BusyError, UnclearError, UnreachableError  # noqa: PLC0415
    from psa_erp_assets.adapters.http import SourceThrottledError, SourceUnreachableError  # noqa: PLC0415
    from psa_erp_assets.adapters.postgres import PostgresError  # noqa: PLC0415
    from psa_erp_assets.domain.erp import LookUpFailedError  # noqa: PLC0415
    from psa_erp_assets.services.planning import PlanOvertakenError  # noqa: PLC0415

    if isinstance(error, DBAPIError):
        # A server that restarts, a lock that was waited for too long, a serialization that lost.
        return error.connection_invalidated or getattr(error.orig, "sqlstate", "")[:2] in ("08", "40", "53", "55", "57")
    return isinstance(
        error,
        SourceUnreachableError
        | SourceThrottledError
        | UnreachableError
        | BusyError
        | UnclearError
        | LookUpFailedError
        | PostgresError
        | PlanOvertakenError,
    )
