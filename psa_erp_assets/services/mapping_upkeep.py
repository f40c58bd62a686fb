"""After the systems were read, or a decision was made: proposals, conflicts and drift as they are now."""

import datetime as dt
from dataclasses import dataclass

from sqlalchemy import Connection

from psa_erp_assets.services import mapping_proposals, mapping_review, mapping_sources, ownership
from psa_erp_assets.services.scope import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """How many proposals are new, and how many conflicts and differences there are."""

    proposed: int
    conflicts: int
    drift: int


def upkeep(connection: Connection, scope: Scope, now: dt.datetime) -> Upkeep:
    """Bring the lists up to date from what was last read, in the caller's transaction."""
    records = mapping_sources.load(connection, scope)
    proposed = mapping_proposals.refresh(connection, scope, records, now)
    conflicts = mapping_review.conflicts(records)
    mapping_review.note_conflicts(connection, scope.tenant, conflicts, now)
    drift = ownership.find_drift(records, scope.governance.owners)
    ownership.note_drift(connection, scope.tenant, drift, now)
    return Upkeep(proposed=proposed, conflicts=len(conflicts), drift=len(drift))
