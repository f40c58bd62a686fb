"""Drift between systems: fields that several of them hold, compared with what their owner says, both ways.

What belongs here: whose values are compared, and what becomes of a difference. What does not: the rules
(`domain.ownership`, `data/config/ownership.yaml`).
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping

from psa_erp_assets.adapters.store import exceptions, field_drifts
from psa_erp_assets.adapters.store.exceptions import Sighting
from psa_erp_assets.domain.ownership import Drift, FieldOwner, Held, OnChange, drifts
from psa_erp_assets.services.mapping_sources import SourceRecords
from psa_erp_assets.services.scope import Scope

DRIFT = "field_drift"
_SCOPE = "ownership"
_STEPS = {
    OnChange.IGNORE: "Nothing has to be done: the owner's value counts.",
    OnChange.PROPOSE: "Take the value over in the owner's system if it is right; else correct the other system.",
    OnChange.HOLD: "Make both systems agree; work that depends on it is held until they do.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftItem:
    """A field of which two systems say different things: both values, whose counts, and what to do."""

    id: int
    entity: str
    canonical_id: str
    field: str
    owner_system: str
    owner_value: str | None
    other_system: str
    other_id: str
    other_value: str | None
    on_change: str
    step: str
    first_seen_at: dt.datetime
    last_seen_at: dt.datetime


def find_drift(records: SourceRecords, owners: Sequence[FieldOwner]) -> list[Drift]:
    """Every difference between the systems, as they were last read."""
    found: list[Drift] = []
    said = {
        ("customer", "name"): _customers(records, "name"),
        ("customer", "country"): _customers(records, "country"),
        ("employee", "name"): _employees(records, "name"),
        ("employee", "email"): _employees(records, "email"),
        ("project", "name"): _project_names(records),
        ("contract", "currency"): _currencies(records),
    }
    for rule in owners:
        for canonical_id, values in said[rule.entity, rule.field].items():
            found += drifts(rule, canonical_id, values)
    return found


def note_drift(connection: Connection, tenant: str, found: Sequence[Drift], now: dt.datetime) -> int:
    """Keep the report, and make exception items of what somebody has to look at; both resolve by themselves."""
    rows = [
        {
            "entity": d.entity,
            "canonical_id": d.canonical_id,
            "field": d.field,
            "owner_system": d.owner.system,
            "owner_value": d.owner.value,
            "other_system": d.other.system,
            "other_id": d.other.source_id,
            "other_value": d.other.value,
            "on_change": d.on_change.value,
        }
        for d in found
    ]
    new = field_drifts.replace_open(connection, tenant, rows, now)
    sightings = [
        Sighting(
            code=DRIFT,
            object_id=f"{d.entity}:{d.canonical_id}:{d.field}:{d.other.system}:{d.other.source_id}",
            detail=f"{d.field} of {d.entity} {d.canonical_id} is {d.owner.value or 'empty'} in the {d.owner.system},"
            f" which owns it, and {d.other.value or 'empty'} in the {d.other.system}",
            evidence={"on_change": d.on_change.value},
        )
        for d in found
        if d.on_change is not OnChange.IGNORE
    ]
    exceptions.open_or_touch(connection, tenant, _SCOPE, sightings, now)
    exceptions.resolve_absent(connection, tenant, _SCOPE, [(s.code, s.object_id) for s in sightings], now)
    return new


def drift_report(
    connection: Connection, scope: Scope, *, entity: str | None = None, search: str = "", limit: int = 500
) -> tuple[DriftItem, ...]:
    """The differences that were there when the systems were last read."""
    rows = field_drifts.listing(connection, scope.tenant, entity=entity, search=search, limit=limit)
    return tuple(_item(row) for row in rows)


def _item(row: RowMapping) -> DriftItem:
    shown = {name: row[name] for name in row if name not in ("tenant", "resolved_at")}
    return DriftItem(**shown, step=_STEPS[OnChange(row["on_change"])])


def _customers(records: SourceRecords, name: str) -> Mapping[str, tuple[Held, ...]]:
    parties = {p.id: p for p in records.parties}
    companies = {c.crm_id: c for c in records.companies}
    linked = _linked(records, "customer", "tryton")
    said: dict[str, tuple[Held, ...]] = {}
    for customer in records.master.customers:
        company = companies.get(customer.crm_id)
        party = parties.get(customer.erp_party or linked.get(customer.id, ""))
        values = []
        if company is not None:
            values.append(Held(system="crm", source_id=company.crm_id, value=getattr(company, name)))
        if party is not None:
            value = party.name
            if name == "country":
                # A party can have addresses in several countries: it agrees if one of them is the owner's.
                agrees = company is not None and company.country in party.countries
                value = customer.country if agrees and company else ", ".join(party.countries)
            values.append(Held(system="erp", source_id=party.id, value=value))
        said[customer.id] = tuple(values)
    return said


def _employees(records: SourceRecords, name: str) -> Mapping[str, tuple[Held, ...]]:
    user_of = {u.psa_id: u for u in records.users}
    staff = {e.employee_number: e for e in records.employees}
    linked = _linked(records, "employee", "clockify")
    said: dict[str, tuple[Held, ...]] = {}
    for employee in records.master.employees:
        known = staff.get(employee.id)
        user = user_of.get(employee.psa_user_id or linked.get(employee.id, ""))
        values = []
        if known is not None:
            values.append(Held(system="hr", source_id=known.hr_id, value=getattr(known, name)))
        if user is not None:
            values.append(Held(system="psa", source_id=user.psa_id, value=getattr(user, name)))
        said[employee.id] = tuple(values)
    return said


def _linked(records: SourceRecords, object_type: str, system: str) -> dict[str, str]:
    """What stewards have mapped for good: source ids by canonical id."""
    return {
        link.canonical_id: link.source_id
        for link in records.master.links
        if (link.object_type, link.system, link.valid_to) == (object_type, system, None)
    }


def _project_names(records: SourceRecords) -> Mapping[str, tuple[Held, ...]]:
    accounts = {a.id: a for a in records.accounts}
    said: dict[str, tuple[Held, ...]] = {}
    for project in records.master.projects:
        values = [Held(system="psa", source_id=project.psa_id, value=project.name)]
        account = next((accounts[i] for i in project.erp_analytics.values() if i in accounts), None)
        if account is not None:
            # Where the account's name begins with the code, as in the PSA, only the rest is the name.
            name = account.name.removeprefix(project.code).strip(" :–-") or account.name
            values.append(Held(system="erp", source_id=account.id, value=name))
        said[project.id] = tuple(values)
    return said


def _currencies(records: SourceRecords) -> Mapping[str, tuple[Held, ...]]:
    rates = {p.id: p.currencies for p in records.psa_projects}
    said: dict[str, tuple[Held, ...]] = {}
    for contract in records.master.contracts:
        values = [Held(system="crm", source_id=contract.id, value=contract.currency)]
        values += list(_rate_currencies(records, contract.id, rates))
        said[contract.id] = tuple(values)
    return said


def _rate_currencies(records: SourceRecords, contract_id: str, rates: Mapping[str, tuple[str, ...]]) -> Iterator[Held]:
    for project in records.master.projects_of(contract_id):
        currencies = rates.get(project.psa_id, ())
        if currencies:
            yield Held(system="psa", source_id=project.psa_id, value=", ".join(currencies))
