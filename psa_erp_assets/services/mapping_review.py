"""What is wrong with mappings: records that contradict each other, and records that map to nothing.

What belongs here: looking, and the exception items for what contradicts. What does not: deciding (`mapping_decisions`).
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from psa_erp_assets.adapters.store import exceptions
from psa_erp_assets.adapters.store.exceptions import Sighting
from psa_erp_assets.domain.links import CANONICAL, LINK_KINDS, Link, LinkKind, LinkType, overlaps
from psa_erp_assets.services import mapping_matching
from psa_erp_assets.services.mapping_proposals import exact_keys, places
from psa_erp_assets.services.mapping_sources import SourceRecords

CONFLICT = "mapping_conflict"
SCOPE = "mappings"
_ALWAYS = dt.date.min


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Two statements about mappings of which only one can be true. `step` says what ends it."""

    object_type: str
    system: str
    subject: str
    detail: str
    step: str

    @property
    def object_id(self) -> str:
        """Its id as an exception item."""
        return f"mapping:{self.object_type}:{self.system}:{self.subject}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """A record that maps to nothing, or that nothing refers to. `system` is canonical for one of our own model."""

    what: str
    system: str
    id: str
    name: str
    detail: str


def conflicts(records: SourceRecords) -> list[Conflict]:
    """Everything that contradicts, in the order of kinds and subjects."""
    found = [
        *_against_exact_keys(records),
        *_claims(records),
        *_unknown_targets(records),
        *_ambiguous_keys(records),
        *_twice_signed(records),
    ]
    return sorted(found, key=lambda c: (c.object_type, c.system, c.subject, c.detail))


def note_conflicts(connection: Connection, tenant: str, found: list[Conflict], now: dt.datetime) -> None:
    """Make exception items of the conflicts; those that are gone resolve by themselves."""
    sightings = [Sighting(code=CONFLICT, object_id=c.object_id, detail=f"{c.detail}. {c.step}") for c in found]
    exceptions.open_or_touch(connection, tenant, SCOPE, sightings, now)
    seen = [(s.code, s.object_id) for s in sightings]
    exceptions.resolve_absent(connection, tenant, SCOPE, seen, now)


def orphans(records: SourceRecords) -> list[Orphan]:
    """Source records that stand for nothing, and canonical ones that nothing stands for or refers to."""
    return [*_orphans_of_the_psa(records), *_orphans_of_the_erp(records), *_orphans_of_ours(records)]


def _against_exact_keys(records: SourceRecords) -> Iterator[Conflict]:
    exact = {kind: exact_keys(records, kind) for kind in LINK_KINDS.values()}
    for link in records.master.links:
        kind = LINK_KINDS.get((link.object_type, link.system))
        if kind is None or link.over_exact:
            continue
        says = exact[kind].get(link.source_id)
        if says is not None and says != link.canonical_id:
            yield _conflict(
                kind,
                link.source_id,
                f"{kind.source} {link.source_id} is {kind.canonical} {says} by its exact key, and {link.canonical_id}"
                f" by a steward's decision for {_days(link)}",
                "The exact key counts. Undo the decision, or split the source id off from a day on",
            )


def _claims(records: SourceRecords) -> Iterator[Conflict]:
    """Two source ids for one canonical id on the same day, where only one is possible."""
    place = places(records)
    for kind in LINK_KINDS.values():
        if not kind.one_source:
            continue
        claims: dict[str, list[Link]] = defaultdict(list)
        for source_id, canonical_id in exact_keys(records, kind).items():
            claims[canonical_id].append(_exact(kind, source_id, canonical_id))
        for link in records.master.links:
            if (link.object_type, link.system) == (kind.object_type, kind.system):
                claims[link.canonical_id].append(link)
        for canonical_id, links in sorted(claims.items()):
            ids = {
                one.source_id
                for index, one in enumerate(links)
                for other in links[:index] + links[index + 1 :]
                if one.source_id != other.source_id
                and place.get(one.source_id) == place.get(other.source_id)
                and overlaps(one, other)
            }
            if ids:
                yield _conflict(
                    kind,
                    canonical_id,
                    f"{kind.canonical} {canonical_id} is claimed by {kind.source} {' and '.join(sorted(ids))}"
                    " on the same days",
                    "End one of the two by undoing its decision",
                )


def _unknown_targets(records: SourceRecords) -> Iterator[Conflict]:
    master = records.master
    known: Mapping[str, set[str]] = {
        LinkType.EMPLOYEE: {e.id for e in master.employees},
        LinkType.PROJECT: {p.id for p in master.projects},
        LinkType.CONTRACT: {c.id for c in master.contracts},
        LinkType.CUSTOMER: {c.id for c in master.customers},
    }
    for link in master.links:
        if link.canonical_id not in known[link.object_type]:
            yield Conflict(
                object_type=link.object_type,
                system=link.system,
                subject=link.source_id,
                detail=f"{link.source_id} is mapped to {link.object_type} {link.canonical_id}, which has gone",
                step="Map it to another one, or bring the record back",
            )


def _ambiguous_keys(records: SourceRecords) -> Iterator[Conflict]:
    """Keys that more than one record of a system has, so that an exact join would be a guess."""
    people: dict[str, list[str]] = defaultdict(list)
    for user in records.users:
        people[user.email].append(user.psa_id)
    staff: dict[str, list[str]] = defaultdict(list)
    for employee in records.employees:
        if employee.email:
            staff[employee.email].append(employee.employee_number)
    codes: dict[str, list[str]] = defaultdict(list)
    for party in records.parties:
        if party.active:
            codes[party.code].append(party.id)
    for kind, by_key, noun, step in (
        (mapping_matching.EMPLOYEE_USER, people, "PSA users", "Give each user an address of their own in the PSA"),
        (mapping_matching.EMPLOYEE_USER, staff, "employees", "Give each employee an address of their own in HR"),
        (mapping_matching.CUSTOMER_PARTY, codes, "ERP parties", "Leave the code to one of the parties in the ERP"),
    ):
        for key, ids in sorted(by_key.items()):
            if len(ids) > 1:
                detail = f"{len(ids)} {noun} have one key, {key}: {', '.join(sorted(ids))}"
                yield _conflict(kind, sorted(ids)[0], detail, step)


def _twice_signed(records: SourceRecords) -> Iterator[Conflict]:
    contracts_of: dict[str, set[str]] = defaultdict(set)
    for deal in records.deals:
        for psa_id in deal.psa_project_ids:
            contracts_of[psa_id].add(deal.amends or deal.contract_code)
    for psa_id, codes in sorted(contracts_of.items()):
        if len(codes) > 1:
            yield _conflict(
                mapping_matching.CONTRACT_PROJECT,
                psa_id,
                f"PSA project {psa_id} is on the signed deals of contracts {' and '.join(sorted(codes))}",
                "Leave it on one deal in the CRM; where it moves on a day, split it off here from that day on",
            )


def _orphans_of_the_psa(records: SourceRecords) -> Iterator[Orphan]:
    master = records.master
    linked = {(k.object_type, k.source_id) for k in master.links}
    employed = {e.psa_user_id for e in master.employees}
    for user in records.users:
        if user.psa_id not in employed and (LinkType.EMPLOYEE, user.psa_id) not in linked:
            yield Orphan(
                what="PSA user",
                system="clockify",
                id=user.psa_id,
                name=user.name,
                detail=f"no employee in HR has the work e-mail {user.email}",
            )
    understood = {p.psa_id for p in master.projects}
    for project in records.psa_projects:
        if project.id not in understood and (LinkType.PROJECT, project.id) not in linked:
            yield Orphan(
                what="PSA project",
                system="clockify",
                id=project.id,
                name=project.name,
                detail="its name begins with no code, or with one that another project has too",
            )


def _orphans_of_the_erp(records: SourceRecords) -> Iterator[Orphan]:
    linked = {(k.object_type, k.source_id) for k in records.master.links if k.system == "tryton"}
    codes = {c.customer_code for c in records.companies}
    own = {entity.name for entity in records.master.legal_entities}
    for party in records.parties:
        # The group's own companies are parties too.
        ours = party.name in own
        if party.active and not ours and party.code not in codes and (LinkType.CUSTOMER, party.id) not in linked:
            yield Orphan(
                what="ERP party",
                system="tryton",
                id=party.id,
                name=party.name,
                detail=f"no company in the CRM has the customer code {party.code}",
            )


def _orphans_of_ours(records: SourceRecords) -> Iterator[Orphan]:
    master = records.master
    links = master.links
    merged = {(k.object_type, k.source_id) for k in links if k.system == CANONICAL}
    meant = {(k.object_type, k.canonical_id) for k in links if k.system != CANONICAL}
    for employee in master.employees:
        if employee.psa_user_id is None and (LinkType.EMPLOYEE, employee.id) not in meant | merged:
            yield _ours("employee", employee.id, employee.name, "no PSA user has their work e-mail")
    sold_to = {c.customer_id for c in master.contracts}
    for customer in master.customers:
        if customer.id not in sold_to and (LinkType.CUSTOMER, customer.id) not in merged:
            yield _ours("customer", customer.id, customer.name, "no signed contract is with them")
    worked_on = {p.contract_id for p in master.projects} | {i for t, i in meant if t == LinkType.CONTRACT}
    for contract in master.contracts:
        if contract.id not in worked_on:
            yield _ours("contract", contract.id, contract.name, "no project is on it")
    for project in master.projects:
        mapped = any((k.object_type, k.source_id) == (LinkType.CONTRACT, project.psa_id) for k in links)
        if project.contract_id is None and not mapped and (LinkType.PROJECT, project.id) not in merged:
            yield _ours("project", project.id, project.name, "it is on no signed contract")


def _ours(what: str, record_id: str, name: str, detail: str) -> Orphan:
    return Orphan(what=what, system=CANONICAL, id=record_id, name=name, detail=detail)


def _exact(kind: LinkKind, source_id: str, canonical_id: str) -> Link:
    return Link(
        object_type=kind.object_type,
        system=kind.system,
        source_id=source_id,
        canonical_id=canonical_id,
        valid_from=_ALWAYS,
        valid_to=None,
    )


def _conflict(kind: LinkKind, subject: str, detail: str, step: str) -> Conflict:
    return Conflict(object_type=kind.object_type, system=kind.system, subject=subject, detail=detail, step=step)


def _days(link: Link) -> str:
    return f"{link.valid_from} on" if link.valid_to is None else f"{link.valid_from} to {link.valid_to}"
