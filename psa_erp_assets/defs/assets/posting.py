"""What the groups that post have in common: which contracts a run is limited to, and sending one type of effect."""

import json
from collections.abc import Collection
from typing import Any

import dagster as dg

from psa_erp_assets.defs import presenting
from psa_erp_assets.defs.partitions import Partition, partition_of
from psa_erp_assets.defs.resources import runtime_of
from psa_erp_assets.domain.effects import EffectType

CONTRACTS_TAG = "psa_erp/contracts"
"""A run's tag: a JSON list of the contracts to work on, null among them for work on none. Without it, all."""


def contracts_tag(contracts: Collection[str | None]) -> dict[str, str]:
    """The tag that limits a run to these contracts."""
    return {CONTRACTS_TAG: json.dumps(sorted(contracts, key=lambda c: c or ""))}


def contracts_of(context: dg.AssetExecutionContext) -> list[str | None] | None:
    """The contracts that the run is limited to; None if it is not."""
    tag = context.run.tags.get(CONTRACTS_TAG)
    return None if tag is None else list(json.loads(tag))


def created_by(context: dg.AssetExecutionContext) -> str:
    """Who a plan says that it was made by."""
    return f"dagster run {context.run.run_id}"


def with_late_changes(
    context: dg.AssetExecutionContext, partition: Partition, contracts: Collection[str | None] | None
) -> Collection[str | None] | None:
    """The run's contracts and those that changed since it was asked for: what comes meanwhile needs no other run."""
    from psa_erp_assets.services import touched  # noqa: PLC0415 - services are imported by runs alone

    if contracts is None:
        return None
    now = next((t.contracts for t in touched.touched_now(runtime_of(context)) if t.partition == partition), ())
    return {*contracts, *now}


def settle(context: dg.AssetExecutionContext, effect_type: EffectType) -> dg.MaterializeResult[Any]:
    """Send what was planned of one type for the run's partition, until nothing more can be done now."""
    from psa_erp_assets.services import sync  # noqa: PLC0415

    runtime, partition = runtime_of(context), partition_of(context.partition_key)
    settled = sync.settle(
        runtime,
        partition,
        created_by=created_by(context),
        contracts=contracts_of(context),
        effect_types=[effect_type],
    )
    page = presenting.console_link(runtime.settings.console_url, "/postings", entity=partition[0], month=partition[1])
    return dg.MaterializeResult(
        metadata={**presenting.engine(settled.engine), **presenting.last_plan(settled), "postings": page}
    )
