"""The canonical model as it is stored: all master data as one value."""

from typing import TypeVar

from sqlalchemy import Connection

from psa_erp_assets.adapters.store import master_records
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
        closed_periods=frozenset(
            (p.legal_entity, ServiceMonth.parse(p.month))
            for p in every("accounting_period", AccountingPeriod)
            if p.closed
        ),
    )


def time_zones(connection: Connection, tenant: str) -> dict[str, str]:
    """The time zone of each PSA user, as last read."""
    users = master_records.load_all(connection, tenant=tenant, object_type="psa_user", record_type=PsaUserFacts)
    return {user.psa_id: user.time_zone for user in users}
