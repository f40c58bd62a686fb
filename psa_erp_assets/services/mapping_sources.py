"""The systems' records as they were last read, side by side, for whoever compares and joins them.

Nothing is read from a system here: it is what the latest refresh brought.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection

from psa_erp_assets.adapters.connectors.bamboohr.canonical import employee_facts
from psa_erp_assets.adapters.connectors.hubspot.canonical import company_facts, deal_facts, is_signed
from psa_erp_assets.adapters.connectors.tryton.master import ErpParty, ErpProject
from psa_erp_assets.adapters.store import master_records
from psa_erp_assets.adapters.store.bodies import from_body
from psa_erp_assets.adapters.store.last_readings import last_reading
from psa_erp_assets.domain.facts import CompanyFacts, DealFacts, EmployeeFacts, PsaUserFacts
from psa_erp_assets.domain.malformed import MalformedRecordError
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.services import canonical
from psa_erp_assets.services.scope import Scope

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PsaProject:
    """A project as the PSA names it, understood or not. `currencies` are those of its rates."""

    id: str
    name: str
    client_id: str | None
    archived: bool
    currencies: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecords:
    """Everything that was last read, and what has been made of it. Records that nobody understands are left out."""

    master: MasterData
    users: Sequence[PsaUserFacts]
    psa_projects: Sequence[PsaProject]
    companies: Sequence[CompanyFacts]
    deals: Sequence[DealFacts]
    employees: Sequence[EmployeeFacts]
    parties: Sequence[ErpParty]
    accounts: Sequence[ErpProject]


def load(connection: Connection, scope: Scope) -> SourceRecords:
    """The records as last read."""
    tenant = scope.tenant

    def read(source: str, object_type: str, understand: Callable[[Mapping[str, Any]], _T | None]) -> list[_T]:
        found = []
        for body in last_reading(connection, tenant, source, object_type).values():
            try:
                facts = understand(body)
            except MalformedRecordError:
                # It is an exception item since it was read.
                continue
            if facts is not None:
                found.append(facts)
        return found

    return SourceRecords(
        master=canonical.load_master(connection, scope),
        users=master_records.load_all(connection, tenant=tenant, object_type="psa_user", record_type=PsaUserFacts),
        psa_projects=read("clockify", "project", _psa_project),
        companies=read("hubspot", "company", company_facts),
        deals=read("hubspot", "deal", lambda body: deal_facts(body) if is_signed(body) else None),
        employees=read("bamboohr", "employee", employee_facts),
        parties=read("tryton", "party", lambda body: from_body(ErpParty, body)),
        accounts=read("tryton", "analytic_account", lambda body: from_body(ErpProject, body)),
    )


def _psa_project(body: Mapping[str, Any]) -> PsaProject:
    rates = [body.get("hourlyRate"), *(m.get("hourlyRate") for m in body.get("memberships") or ())]
    return PsaProject(
        id=str(body["id"]),
        name=str(body.get("name") or ""),
        client_id=body.get("clientId") or None,
        archived=bool(body.get("archived")),
        currencies=tuple(sorted({str(rate["currency"]) for rate in rates if rate and rate.get("currency")})),
    )
