"""The canonical model as it is stored: all master data as one value."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, TypeVar

from sqlalchemy import Connection

from psa_erp_assets.adapters.store import exceptions, field_drifts, mapping_stories, master_records
from psa_erp_assets.adapters.store.exceptions import Sighting
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.facts import PsaUserFacts
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.records import (
    AccountingPeriod,
    BillRate,
    Contract,
    CostRate,
    Customer,
    Employee,
    FxRate,
    LegalEntity,
    Project,
    TaxProfile,
)
from psa_erp_assets.services.scope import Scope

_Record = TypeVar("_Record")

CLOCKIFY = "clockify"
TIME_ENTRY = "time_entry"
_STORED = "master:stored"


def load_master(connection: Connection, scope: Scope) -> MasterData:
    """The current master data. Rate cards are settings and not read from a system, so the scope has them."""
    tenant = scope.tenant

    def every(object_type: str, record_type: type[_Record]) -> list[_Record]:
        return master_records.load_all(connection, tenant=tenant, object_type=object_type, record_type=record_type)

    return MasterData(
        legal_entities=every("legal_entity", LegalEntity),
        customers=every("customer", Customer),
        contracts=every("contract", Contract),
        projects=every("project", Project),
        employees=every("employee", Employee),
        bill_rates=every("bill_rate", BillRate),
        cost_rates=every("cost_rate", CostRate),
        fx_rates=every("fx_rate", FxRate),
        tax_profiles=every("tax_profile", TaxProfile),
        rate_cards=scope.rate_cards,
        links=mapping_stories.links(connection, tenant),
        contested=field_drifts.contested(connection, tenant),
        closed_periods=frozenset(
            (p.legal_entity, ServiceMonth.parse(p.month))
            for p in every("accounting_period", AccountingPeriod)
            if p.closed
        ),
    )


_KINDS: Mapping[str, type[Any]] = {
    "legal_entity": LegalEntity,
    "customer": Customer,
    "contract": Contract,
    "project": Project,
    "employee": Employee,
    "bill_rate": BillRate,
    "cost_rate": CostRate,
    "fx_rate": FxRate,
    "tax_profile": TaxProfile,
    "accounting_period": AccountingPeriod,
}


def note_unreadable(connection: Connection, scope: Scope, now: dt.datetime) -> None:
    """Open an exception for each record that an earlier version stored and this one cannot read; close the others."""
    sightings = [
        Sighting(
            code="malformed_record",
            object_id=f"{object_type}:{canonical_id}",
            detail="an earlier version stored it in another form; the next extraction stores it as it is now",
        )
        for object_type, record_type in _KINDS.items()
        for canonical_id in master_records.unreadable(
            connection, tenant=scope.tenant, object_type=object_type, record_type=record_type
        )
    ]
    exceptions.open_or_touch(connection, scope.tenant, _STORED, sightings, now)
    exceptions.resolve_absent(connection, scope.tenant, _STORED, [(s.code, s.object_id) for s in sightings], now)


def time_zones(connection: Connection, tenant: str) -> dict[str, str]:
    """The time zone of each PSA user, as last read."""
    users = master_records.load_all(connection, tenant=tenant, object_type="psa_user", record_type=PsaUserFacts)
    return {user.psa_id: user.time_zone for user in users}
