"""Proposals of mappings: what the matcher finds after each refresh, and what a person names.

A proposal maps nothing. Deciding about it is in `mapping_decisions`.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping

from psa_erp_assets.adapters.store import mapping_proposals as rows
from psa_erp_assets.adapters.store import mapping_stories
from psa_erp_assets.adapters.store.mapping_proposals import PROPOSED, REJECTED, SUPERSEDED
from psa_erp_assets.domain.access import Actor, Permission
from psa_erp_assets.domain.links import LINK_KINDS, LinkKind
from psa_erp_assets.domain.matching import Method, find_matches, organization_name, person_name, plain_name
from psa_erp_assets.services import audit, mapping_matching, mapping_sources
from psa_erp_assets.services.mapping_matching import CUSTOMER_PARTY, EMPLOYEE_USER, similar
from psa_erp_assets.services.mapping_sources import SourceRecords
from psa_erp_assets.services.scope import Scope

MATCHER = "matcher"
"""Who proposes what no person has named. One steward is enough for it."""


class MappingRefusedError(Exception):
    """A proposal or decision that cannot be; the message says why and what to do."""


class MappingNotFoundError(LookupError):
    """There is no such proposal or decision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What probably is one, how that was found, and what has become of it. `score` is from 0 to 1."""

    id: int
    object_type: str
    system: str
    source_id: str
    source_name: str
    canonical_id: str
    canonical_name: str
    method: str
    score: Decimal
    evidence: Sequence[str]
    state: str
    proposed_by: str
    proposed_at: dt.datetime
    decided_by: str | None
    decided_at: dt.datetime | None
    why: str | None

    @property
    def kind(self) -> LinkKind:
        """The kind of link that it would make."""
        return LINK_KINDS[self.object_type, self.system]


def of_row(row: RowMapping) -> Proposal:
    """A proposal as it is stored."""
    return Proposal(**{name: row[name] for name in row if name != "tenant"})


def get(connection: Connection, tenant: str, proposal_id: int) -> Proposal:
    """One proposal. Raises MappingNotFoundError."""
    row = rows.load(connection, tenant, proposal_id)
    if row is None:
        raise MappingNotFoundError(f"there is no proposal {proposal_id}")
    return of_row(row)


def refresh(connection: Connection, scope: Scope, records: SourceRecords, now: dt.datetime) -> int:
    """Propose what the records suggest now; answers with how many proposals are new.

    What a steward has rejected is not proposed again. An open proposal whose question an exact key has answered is
    superseded, and so is one of the matcher's that the records do not suggest any more.
    """
    tenant = scope.tenant
    found = {
        (p.kind.object_type.value, p.kind.system, p.source.id, p.canonical.id): p
        for p in mapping_matching.open_pairs(records)
    }
    open_rows = {_identity(row): row for row in rows.of_state(connection, tenant, [PROPOSED])}
    rejected = {_identity(row) for row in rows.of_state(connection, tenant, [REJECTED])}
    for identity, row in open_rows.items():
        if identity in found:
            rows.refresh(connection, row["id"], _content(found[identity], method=row["proposed_by"] == MATCHER))
    stale = [
        row["id"]
        for identity, row in open_rows.items()
        if identity not in found and (row["proposed_by"] == MATCHER or _is_answered(records, identity))
    ]
    rows.close(connection, stale, SUPERSEDED, decided_by=MATCHER, why="the systems do not suggest it any more", now=now)
    new = [identity for identity in found if identity not in open_rows and identity not in rejected]
    for identity in new:
        pair = found[identity]
        rows.add(
            connection,
            {
                "tenant": tenant,
                "object_type": identity[0],
                "system": identity[1],
                "source_id": identity[2],
                "canonical_id": identity[3],
                **_content(pair, method=True),
                "proposed_by": MATCHER,
                "proposed_at": now,
            },
        )
    return len(new)


def propose(
    engine: Engine,
    scope: Scope,
    *,
    object_type: str,
    system: str,
    source_id: str,
    canonical_id: str,
    actor: Actor,
    now: dt.datetime,
) -> int:
    """Propose a mapping by hand; somebody else decides about it. Answers with the proposal's id.

    Raises MappingRefusedError where one of the two records is not known, or the exact key says the same already.
    """
    if not (actor.may(Permission.STEWARD) or actor.may(Permission.OPERATE)):
        raise MappingRefusedError("proposing a mapping is for operators and stewards")
    kind = LINK_KINDS.get((object_type, system))
    if kind is None:
        known = ", ".join(f"{a} in {b}" for a, b in LINK_KINDS)
        raise MappingRefusedError(f"no {object_type!r} is mapped in {system!r}; there are: {known}")
    with engine.begin() as connection:
        mapping_stories.lock(connection, scope.tenant)
        records = mapping_sources.load(connection, scope)
        sources, canonicals = mapping_matching.named(records, kind)
        if source_id not in sources:
            raise MappingRefusedError(f"no {kind.source} {source_id!r} was there when the systems were last read")
        if canonical_id not in canonicals:
            raise MappingRefusedError(f"no {kind.canonical} {canonical_id!r} is known")
        identity = (object_type, system, source_id, canonical_id)
        if any(_identity(row) == identity for row in rows.of_state(connection, scope.tenant, [PROPOSED])):
            raise MappingRefusedError("the same mapping is proposed already; decide about that one")
        if exact_key(records, kind, source_id) == canonical_id:
            raise MappingRefusedError(f"{source_id} is {canonical_id} already, by its exact key")
        source, canonical = sources[source_id], canonicals[canonical_id]
        normal = person_name if kind is EMPLOYEE_USER else organization_name if kind is CUSTOMER_PARTY else plain_name
        [match] = find_matches(source, [canonical], similar=similar, normal=normal, least=Decimal(0))
        proposal_id = rows.add(
            connection,
            {
                "tenant": scope.tenant,
                "object_type": object_type,
                "system": system,
                "source_id": source_id,
                "source_name": source.name,
                "canonical_id": canonical_id,
                "canonical_name": canonical.name,
                "method": Method.BY_HAND.value,
                "score": match.score,
                "evidence": [f"named by {actor.name}", *match.evidence],
                "proposed_by": actor.id,
                "proposed_at": now,
            },
        )
        audit.record(
            connection,
            scope.tenant,
            kind="mapping.proposed",
            subject=f"mapping_proposal:{proposal_id}",
            actor=actor.id,
            detail={"object_type": object_type, "system": system, "source": source_id, "canonical": canonical_id},
            now=now,
        )
    return proposal_id


def exact_key(records: SourceRecords, kind: LinkKind, source_id: str) -> str | None:
    """The canonical id that the exact key gives a source id, None where it gives none."""
    return exact_keys(records, kind).get(source_id)


def exact_keys(records: SourceRecords, kind: LinkKind) -> Mapping[str, str]:
    """What exact keys say of a kind of link: canonical ids by source id."""
    master = records.master
    if kind is EMPLOYEE_USER:
        return {e.psa_user_id: e.id for e in master.employees if e.psa_user_id}
    if kind is mapping_matching.PROJECT_PSA:
        return {p.psa_id: p.id for p in master.projects}
    if kind is mapping_matching.CONTRACT_PROJECT:
        return {p.psa_id: p.contract_id for p in master.projects if p.contract_id}
    if kind is CUSTOMER_PARTY:
        return {c.erp_party: c.id for c in master.customers if c.erp_party}
    return {account: p.id for p in master.projects for account in p.erp_analytics.values()}


def places(records: SourceRecords) -> Mapping[str, str]:
    """The ERP company of each analytic account: a project can have one in each."""
    return {account.id: account.company for account in records.accounts}


def _is_answered(records: SourceRecords, identity: tuple[str, str, str, str]) -> bool:
    object_type, system, source_id, canonical_id = identity
    kind = LINK_KINDS[object_type, system]
    return exact_key(records, kind, source_id) == canonical_id


def _identity(row: RowMapping) -> tuple[str, str, str, str]:
    return (row["object_type"], row["system"], row["source_id"], row["canonical_id"])


def _content(pair: mapping_matching.Pair, *, method: bool) -> dict[str, Any]:
    content = {
        "source_name": pair.source.name or pair.source.id,
        "canonical_name": pair.canonical.name or pair.canonical.id,
        "score": pair.score,
        "evidence": list(pair.evidence),
    }
    return content | ({"method": pair.method.value} if method else {})
