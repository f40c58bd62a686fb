"""What exact keys leave open, and which records it may be: each open join with its likely matches.

What belongs here: whose names, codes and addresses are compared for each kind of link. What does not: how (`matching`)
and what becomes of a match (`mapping_proposals`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from rapidfuzz import fuzz

from psa_erp_assets.domain.links import LINK_KINDS, LinkKind
from psa_erp_assets.domain.matching import (
    Match,
    Method,
    Named,
    find_matches,
    organization_name,
    person_name,
    plain_name,
)
from psa_erp_assets.domain.records import Contract, Project
from psa_erp_assets.services.mapping_sources import SourceRecords

EMPLOYEE_USER = LINK_KINDS["employee", "clockify"]
PROJECT_PSA = LINK_KINDS["project", "clockify"]
CONTRACT_PROJECT = LINK_KINDS["contract", "clockify"]
CUSTOMER_PARTY = LINK_KINDS["customer", "tryton"]
PROJECT_ACCOUNT = LINK_KINDS["project", "tryton"]

_ONLY_CONTRACT = Decimal("0.8500")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A source record and a canonical one that are probably one."""

    kind: LinkKind
    source: Named
    canonical: Named
    method: Method
    score: Decimal
    evidence: tuple[str, ...]


def similar(a: str, b: str) -> Decimal:
    """How alike two names are, from 0 to 1: rapidfuzz's WRatio, which forgives order and parts that are left out."""
    # It answers with a binary fraction of a percentage; two decimals of that are more than it means.
    return Decimal(round(fuzz.WRatio(a, b) * 100)) / Decimal(10_000)


def open_pairs(records: SourceRecords) -> Iterator[Pair]:
    """The likely matches of everything that exact keys and stewards have left open."""
    yield from _users(records)
    yield from _psa_projects(records)
    yield from _contracts(records)
    yield from _parties(records)
    yield from _accounts(records)


def named(records: SourceRecords, kind: LinkKind) -> tuple[dict[str, Named], dict[str, Named]]:
    """Every record that a link of this kind can join: source records by id, canonical ones by id."""
    master = records.master
    if kind is EMPLOYEE_USER:
        users = [Named(id=u.psa_id, name=u.name or u.email, email=u.email) for u in records.users]
        return _by_id(users), _by_id(_persons(records))
    projects = [Named(id=p.id, name=p.name, code=p.code) for p in master.projects]
    psa_projects = [Named(id=p.id, name=p.name) for p in records.psa_projects]
    if kind is PROJECT_PSA:
        return _by_id(psa_projects), _by_id(projects)
    if kind is CONTRACT_PROJECT:
        return _by_id(psa_projects), _by_id([_agreement(c) for c in master.contracts])
    if kind is CUSTOMER_PARTY:
        return _by_id(_invoiced(records)), _by_id(_customers(records))
    accounts = [Named(id=a.id, name=a.name, code=a.code) for a in records.accounts]
    return _by_id(accounts), _by_id(projects)


def _users(records: SourceRecords) -> Iterator[Pair]:
    exact = {e.psa_user_id for e in records.master.employees}
    linked = _linked(records, EMPLOYEE_USER)
    people = _persons(records)
    for user in records.users:
        if user.psa_id in exact or user.psa_id in linked:
            continue
        subject = Named(id=user.psa_id, name=user.name, email=user.email)
        for match in find_matches(subject, people, similar=similar, normal=person_name):
            yield _pair(EMPLOYEE_USER, subject, _of(people, match), match)


def _psa_projects(records: SourceRecords) -> Iterator[Pair]:
    exact = {p.psa_id for p in records.master.projects}
    linked = _linked(records, PROJECT_PSA)
    known = [Named(id=p.id, name=p.name, code=p.code) for p in records.master.projects]
    for project in records.psa_projects:
        if project.id in exact or project.id in linked:
            continue
        subject = Named(id=project.id, name=project.name)
        for match in find_matches(subject, known, similar=similar, normal=plain_name):
            yield _pair(PROJECT_PSA, subject, _of(known, match), match)


def _contracts(records: SourceRecords) -> Iterator[Pair]:
    linked = _linked(records, CONTRACT_PROJECT)
    client_of = {p.id: p.client_id for p in records.psa_projects}
    customer_of = {c.psa_id: c.id for c in records.master.customers if c.psa_id}
    for project in records.master.projects:
        if project.contract_id is not None or project.psa_id in linked:
            continue
        customer = customer_of.get(client_of.get(project.psa_id) or "")
        of_customer = [c for c in records.master.contracts if customer is not None and c.customer_id == customer]
        yield from _contract_pairs(records, project, of_customer)


def _contract_pairs(records: SourceRecords, project: Project, of_customer: list[Contract]) -> Iterator[Pair]:
    subject = Named(id=project.psa_id, name=project.name)
    agreements = [_agreement(c) for c in of_customer or records.master.contracts]
    found = find_matches(subject, agreements, similar=similar, normal=plain_name)
    if len(of_customer) == 1:
        only = _agreement(of_customer[0])
        score = max([_ONLY_CONTRACT, *(m.score for m in found)])
        evidence = (f"the only contract of the PSA client's customer {of_customer[0].customer_id}",)
        before = found[0].evidence if found else ()
        found = [Match(id=only.id, method=Method.FUZZY, score=score, evidence=evidence + before)]
    for match in found:
        yield _pair(CONTRACT_PROJECT, subject, _of(agreements, match), match)


def _parties(records: SourceRecords) -> Iterator[Pair]:
    taken = {c.erp_party for c in records.master.customers}
    answered = _answered(records, CUSTOMER_PARTY)
    free = [p for p in _invoiced(records) if p.id not in taken]
    without = {c.id for c in records.master.customers if c.erp_party is None and c.id not in answered}
    for customer in _customers(records):
        if customer.id in without:
            for match in find_matches(customer, free, similar=similar, normal=organization_name):
                yield _pair(CUSTOMER_PARTY, _of(free, match), customer, match)


def _accounts(records: SourceRecords) -> Iterator[Pair]:
    master = records.master
    taken = {account for p in master.projects for account in p.erp_analytics.values()}
    answered = _answered(records, PROJECT_ACCOUNT)
    for project in master.projects:
        contract = master.contract(project.contract_id)
        entity = master.legal_entity(contract.legal_entity) if contract else None
        if entity is None or project.analytic_in(entity.erp_company) is not None or project.id in answered:
            continue
        accounts = [
            Named(id=a.id, name=a.name, code=a.code)
            for a in records.accounts
            if a.open and a.company == entity.erp_company and a.id not in taken
        ]
        subject = Named(id=project.id, name=project.name, code=project.code)
        for match in find_matches(subject, accounts, similar=similar, normal=plain_name):
            yield _pair(PROJECT_ACCOUNT, _of(accounts, match), subject, match)


def _persons(records: SourceRecords) -> list[Named]:
    email_of = {e.employee_number: e.email for e in records.employees}
    return [Named(id=e.id, name=e.name, email=email_of.get(e.id)) for e in records.master.employees]


def _invoiced(records: SourceRecords) -> list[Named]:
    return [Named(id=p.id, name=p.name, code=p.code, countries=p.countries) for p in records.parties if p.active]


def _customers(records: SourceRecords) -> list[Named]:
    return [Named(id=c.id, name=c.name, code=c.id, countries=(c.country,)) for c in records.master.customers]


def _agreement(contract: Contract) -> Named:
    return Named(id=contract.id, name=contract.name, code=contract.id)


def _linked(records: SourceRecords, kind: LinkKind) -> set[str]:
    """The source ids that a steward has mapped, for whatever days."""
    return {k.source_id for k in records.master.links if (k.object_type, k.system) == (kind.object_type, kind.system)}


def _answered(records: SourceRecords, kind: LinkKind) -> set[str]:
    """The canonical ids that a steward has mapped something to, and those that another one has taken the place of."""
    links = [k for k in records.master.links if k.object_type == kind.object_type]
    merged = {k.source_id for k in links if k.system != kind.system and k.over_exact and kind.one_source}
    return {k.canonical_id for k in links if k.system == kind.system} | merged


def _pair(kind: LinkKind, source: Named, canonical: Named, match: Match) -> Pair:
    return Pair(
        kind=kind,
        source=source,
        canonical=canonical,
        method=match.method,
        score=match.score,
        evidence=match.evidence,
    )


def _of(rows: list[Named], match: Match) -> Named:
    return next(row for row in rows if row.id == match.id)


def _by_id(rows: list[Named]) -> dict[str, Named]:
    return {row.id: row for row in rows}
