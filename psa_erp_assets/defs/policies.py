"""What holds for many assets: owners by group, retries, pools, and which failures no retry can cure."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import dagster as dg

from psa_erp_assets.defs.partitions import PARTITIONS
from psa_erp_assets.defs.resources import RUNTIME

MASTER_DATA, APPROVED_WORK = "master_data", "approved_work"
COST_TRANSACTIONS, DRAFT_INVOICE_LINES = "cost_transactions", "draft_invoice_lines"
RECONCILIATION, REPORTING = "reconciliation", "reporting"

_FINANCE, _ENGINEERING = "team:finance-operations", "team:integration-engineering"
_OWNERS = {
    MASTER_DATA: [_ENGINEERING],
    APPROVED_WORK: [_ENGINEERING],
    COST_TRANSACTIONS: [_FINANCE, _ENGINEERING],
    DRAFT_INVOICE_LINES: [_FINANCE, _ENGINEERING],
    RECONCILIATION: [_FINANCE],
    REPORTING: [_FINANCE],
}

# Extraction shares the vendors' quotas, and two posting runs would wait for the engine's lock anyway.
PSA_POOL, CRM_POOL, HR_POOL, ERP_POOL, POSTING_POOL = "psa", "crm", "hr", "erp", "posting"

RETRY = dg.RetryPolicy(max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)

_P = ParamSpec("_P")
_R = TypeVar("_R")


def of_group(spec: dg.AssetSpec) -> dg.AssetSpec:
    """The spec with what its group has in common."""
    group = spec.group_name or ""
    return spec.replace_attributes(owners=_OWNERS[group])


def asset(**options: Any) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """`dg.asset` with the runtime and the retries; trouble that lasts is not tried again."""

    def decorate(function: Callable[..., Any]) -> dg.AssetsDefinition:
        made: dg.AssetsDefinition = dg.asset(**{"required_resource_keys": {RUNTIME}, "retry_policy": RETRY, **options})(
            giving_up_on_lasting_trouble(function)
        )
        return made

    return decorate


def partitioned_asset(**options: Any) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """An asset by legal entity and service month. A run has one partition; a backfill is as many runs."""
    return asset(**{"partitions_def": PARTITIONS, **options})


def giving_up_on_lasting_trouble(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Ends the step without another try where only a person can help: credentials, settings, or suspicious data."""

    @functools.wraps(function)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if not _lasts(error):
                raise
            raise dg.Failure(description=f"{type(error).__name__}: {error}", allow_retries=False) from error

    return wrapped


def _lasts(error: Exception) -> bool:
    # Imported here: the definitions load without the services, and a run that raised one of these has them already.
    from psa_erp_assets.adapters.connectors.tryton.facts import SetupMissingError  # noqa: PLC0415
    from psa_erp_assets.adapters.connectors.tryton.rpc import AuthRefusedError  # noqa: PLC0415
    from psa_erp_assets.adapters.http import SourceAuthError  # noqa: PLC0415
    from psa_erp_assets.services.master_data import SuspiciousShrinkError  # noqa: PLC0415
    from psa_erp_assets.services.read_back import UnknownEntityError  # noqa: PLC0415
    from psa_erp_assets.settings import ConfigError  # noqa: PLC0415

    return isinstance(
        error,
        SetupMissingError
        | AuthRefusedError
        | SourceAuthError
        | SuspiciousShrinkError
        | UnknownEntityError
        | ConfigError,
    )
