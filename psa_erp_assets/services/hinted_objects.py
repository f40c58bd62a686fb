"""What webhooks point at besides time and expenses: milestones, projects, contracts, customers.

The object is fetched by its id first. Only if it is another than the one known are the records of its kind read again,
because contracts, amendments and projects are judged together; then what they touch becomes dirty.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

from psa_erp_assets.adapters.connectors.kantata.hints import MILESTONE_PROJECT
from psa_erp_assets.adapters.store.last_readings import last_reading
from psa_erp_assets.domain.keys import content_hash
from psa_erp_assets.services import milestones, refresh, touching
from psa_erp_assets.services.runtime import Runtime

# By the type that a hint names: the source, the type in the inbox, and the kinds of master data that depend on it.
_MASTER: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "contract": ("hubspot", "deal", ("contracts", "projects")),
    "customer": ("hubspot", "company", ("customers", "contracts")),
    "project": ("clockify", "project", ("projects", "bill_rates")),
}


def fetch(runtime: Runtime, wanted: Mapping[str, set[str]], now: dt.datetime) -> int:
    """Fetch the objects, ids by type; returns how many have changed. Raises a SourceError; nothing is lost then."""
    changed = 0
    kinds: dict[str, None] = {}
    for object_type, (source, known_as, depending) in _MASTER.items():
        news = [i for i in sorted(wanted.get(object_type, ())) if _is_news(runtime, object_type, (source, known_as), i)]
        changed += len(news)
        if news:
            kinds |= dict.fromkeys(depending)
    for kind in kinds:
        refresh.refresh(runtime, kind)
    if kinds:
        with runtime.engine.begin() as connection:
            touching.mark_touched(connection, runtime.scope, now)
    return changed + _milestones(runtime, wanted, now)


def _milestones(runtime: Runtime, wanted: Mapping[str, set[str]], now: dt.datetime) -> int:
    """Milestones of the second PSA; a project there says what all of its milestones are worth, so all are read."""
    psa, ids = runtime.milestones_psa, wanted.get("milestone")
    if psa is None:
        return 0
    if wanted.get(MILESTONE_PROJECT):
        return len(milestones.sweep(runtime.engine, psa, runtime.scope, now=now).revised)
    if ids:
        return len(milestones.fetch_hinted(runtime.engine, psa, runtime.scope, ids, now=now).revised)
    return 0


def _is_news(runtime: Runtime, object_type: str, known_as: tuple[str, str], object_id: str) -> bool:
    """Whether the source has another object under this id than the last reading, or one of them has none."""
    sources = runtime.sources
    asked: Mapping[str, Callable[[str], dict[str, Any] | None]] = {
        "contract": sources.crm.deal,
        "customer": sources.crm.company,
        "project": sources.psa.project,
    }
    found = asked[object_type](object_id)
    source, kind = known_as
    with runtime.engine.connect() as connection:
        known = last_reading(connection, runtime.settings.tenant, source, kind, [object_id]).get(object_id)
    if found is None or known is None:
        return found is not known
    return content_hash(found) != content_hash(known)
