"""Which master records somebody may see whose role is for some legal entities alone.

An employee is of whoever employs them, a contract of whoever sells under it at any time, a project of its contract's
entities, and a customer of those that have a contract with them. What is of no entity is for those who may see all.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from psa_erp_assets.adapters.store import master_records
from psa_erp_assets.domain.records import Contract, Employee, LegalEntity, Project


@dataclass(frozen=True, slots=True)
class SeenRecords:
    """The canonical ids by object type that may be seen; None for all of them."""

    ids: Mapping[str, frozenset[str]] | None

    def has(self, object_type: str, canonical_id: str | None) -> bool:
        """Whether a record may be seen; what has no id may be by those alone who may see all."""
        return self.ids is None or (canonical_id is not None and canonical_id in self.ids.get(object_type, ()))

    @property
    def everything(self) -> bool:
        """Whether all may be seen."""
        return self.ids is None


def seen_records(connection: Connection, tenant: str, entities: frozenset[str] | None) -> SeenRecords:
    """What somebody may see whose role is for these legal entities; None stands for all of them."""
    if entities is None:
        return SeenRecords(None)
    contracts = [
        contract
        for contract in master_records.load_all(connection, tenant=tenant, object_type="contract", record_type=Contract)
        if entities & {contract.legal_entity, *(a.legal_entity for a in contract.amendments if a.legal_entity)}
    ]
    ids = frozenset(contract.id for contract in contracts)
    projects = master_records.load_all(connection, tenant=tenant, object_type="project", record_type=Project)
    employees = master_records.load_all(connection, tenant=tenant, object_type="employee", record_type=Employee)
    return SeenRecords(
        {
            "contract": ids,
            "customer": frozenset(contract.customer_id for contract in contracts),
            "project": frozenset(project.id for project in projects if project.contract_id in ids),
            "employee": frozenset(one.id for one in employees if one.legal_entity in entities),
        }
    )


def erp_companies(connection: Connection, tenant: str, entities: frozenset[str]) -> frozenset[str]:
    """The ERP's companies of these legal entities."""
    found = master_records.load_all(connection, tenant=tenant, object_type="legal_entity", record_type=LegalEntity)
    return frozenset(entity.erp_company for entity in found if entity.code in entities)
