"""The key sweep of CRM and HR: their full lists of keys against what was read last, so that no event is needed.

A key that is listed and unknown was missed; one that is known, not listed and not found by its id was deleted. Either
makes the kinds of master data that depend on it read again. What changed under a known key is found by the hourly
reading of the whole.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from psa_erp_assets.adapters.store import cursors
from psa_erp_assets.adapters.store.last_readings import last_keys
from psa_erp_assets.services import refresh, touching
from psa_erp_assets.services.complete_lists import absent
from psa_erp_assets.services.master_data import Sources
from psa_erp_assets.services.runtime import Runtime

_CURSOR = "key_sweep"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySweep:
    """What one list of keys showed, by ids. `unlisted` are there by their id, though the list lacks them."""

    source: str
    object_type: str
    listed: int
    missed: tuple[str, ...]
    deleted: tuple[str, ...]
    unlisted: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """A type of object: its keys, one of it by its id, and the master data that depend on it."""

    source: str
    object_type: str
    keys: Callable[[Sources], list[str]]
    one: Callable[[Sources], Callable[[str], Mapping[str, Any] | None]]
    depending: tuple[str, ...]


_KINDS = (
    _Kind(
        source="hubspot",
        object_type="company",
        keys=lambda sources: sources.crm.company_ids(),
        one=lambda sources: sources.crm.company,
        depending=("customers", "contracts"),
    ),
    _Kind(
        source="hubspot",
        object_type="deal",
        keys=lambda sources: sources.crm.deal_ids(),
        one=lambda sources: sources.crm.deal,
        depending=("contracts", "projects"),
    ),
    _Kind(
        source="bamboohr",
        object_type="employee",
        keys=lambda sources: sources.hr.employee_ids(),
        one=lambda sources: sources.hr.employee,
        depending=("employees", "cost_rates", "bill_rates"),
    ),
)


def sweep_keys(runtime: Runtime, now: dt.datetime) -> list[KeySweep]:
    """Compare the keys of every kind, and read again what depends on those that differ.

    Raises a SourceError, or a SuspiciousShrinkError; then nothing has changed.
    """
    found = [_compare(runtime, kind) for kind in _KINDS]
    stale: dict[str, None] = {}
    for kind, swept in zip(_KINDS, found, strict=True):
        if swept.missed or swept.deleted:
            stale |= dict.fromkeys(kind.depending)
    for name in stale:
        refresh.refresh(runtime, name)
    with runtime.engine.begin() as connection:
        if stale:
            touching.mark_touched(connection, runtime.scope, now)
        for source in sorted({kind.source for kind in _KINDS}):
            cursors.put(
                connection, tenant=runtime.settings.tenant, source=source, name=_CURSOR, value=now.isoformat(), now=now
            )
    return found


def _compare(runtime: Runtime, kind: _Kind) -> KeySweep:
    tenant = runtime.settings.tenant
    with runtime.engine.connect() as connection:
        known = last_keys(connection, tenant, kind.source, kind.object_type)
    listed = frozenset(kind.keys(runtime.sources))
    fetch = kind.one(runtime.sources)
    asked = {i: fetch(i) for i in absent(runtime.engine, tenant, (kind.source, kind.object_type), listed)}
    return KeySweep(
        source=kind.source,
        object_type=kind.object_type,
        listed=len(listed),
        missed=tuple(sorted(listed - known)),
        deleted=tuple(i for i, body in asked.items() if body is None),
        unlisted=tuple(i for i, body in asked.items() if body is not None),
    )
