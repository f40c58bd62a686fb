"""The small company with what exact keys leave open: a person, a project, a contract, a customer and an account."""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Engine

from psa_erp_assets.adapters.store import inbox, master_records
from psa_erp_assets.domain.access import Actor, Grant, Role
from psa_erp_assets.domain.facts import PsaUserFacts
from psa_erp_assets.domain.records import Employee, Project
from psa_erp_assets.domain.values import replace
from psa_erp_assets.services import mapping_upkeep
from psa_erp_assets.services.mapping_upkeep import Upkeep
from psa_erp_assets_tests.support.facts import (
    CONTRACT,
    CUSTOMER,
    DAY,
    EMPLOYEE,
    PROJECT,
    TAX,
    TENANT,
    bill_rate,
    cost_rate,
    make_master,
)
from psa_erp_assets_tests.support.store import NOW, SCOPE, keep_master, psa_payload, receive

STEWARD = Actor(id="sam", name="Sam", grants=frozenset({Grant(Role.STEWARD)}))
SECOND_STEWARD = Actor(id="kim", name="Kim", grants=frozenset({Grant(Role.STEWARD)}))
VIEWER = Actor(id="vic", name="Vic", grants=frozenset({Grant(Role.VIEWER)}))

BEN = Employee(
    id="EMP-0002",
    name="Benjamin Fischer",
    psa_user_id=None,
    legal_entity="UK",
    department="Delivery",
    time_zone="Europe/London",
)
OPEN_PROJECT = Project(
    id="PRJ-0002",
    code="PRJ-0002",
    name="Ledger support",
    psa_id="p2",
    contract_id=None,
    closed=False,
    closed_on=None,
    erp_analytics={"2": "502"},
)
OSPREY = replace(CUSTOMER, id="CUS-0002", name="Osprey Shipping Ltd", crm_id="10", psa_id="c2", erp_party=None)
OSPREY_CONTRACT = replace(CONTRACT, id="CTR-0002", name="Harbor systems", customer_id="CUS-0002")
OSPREY_PROJECT = replace(
    PROJECT,
    id="PRJ-0003",
    code="PRJ-0003",
    name="Harbor systems",
    psa_id="p3",
    contract_id="CTR-0002",
    erp_analytics={},
)


def user(psa_id: str, name: str, email: str) -> PsaUserFacts:
    """A PSA user in London."""
    return PsaUserFacts(psa_id=psa_id, name=name, email=email, time_zone="Europe/London", active=True)


USERS = (
    user("u1", "Ada Jones", "ada@example.com"),
    user("u2", "Fischer, Benjamin", "ben.fischer@old.example.com"),
)


def open_store(engine: Engine, *, now: dt.datetime = NOW, employees: Iterable[Employee] = (EMPLOYEE, BEN)) -> Upkeep:
    """Make this the state of the store, with work that waits for each of the open joins; look at mappings once."""
    keep_master(
        engine,
        make_master(
            customers=(CUSTOMER, OSPREY),
            contracts=(CONTRACT, OSPREY_CONTRACT),
            projects=(PROJECT, OPEN_PROJECT, OSPREY_PROJECT),
            employees=tuple(employees),
            bill_rates=(
                bill_rate(),
                replace(bill_rate("90.00"), id="PRJ-0002/*", project_id="PRJ-0002"),
                replace(bill_rate("110.00"), id="PRJ-0003/*", project_id="PRJ-0003"),
            ),
            cost_rates=(
                cost_rate(),
                replace(cost_rate("50.00"), id="EMP-0002@2026-09-01", employee_id="EMP-0002"),
            ),
            tax_profiles=(TAX,),
        ),
        now,
    )
    read(engine, now=now)
    receive(
        engine,
        psa_payload("e1", 60),
        psa_payload("e2", 120, user_id="u2"),
        psa_payload("e3", 90, project_id="p2"),
        psa_payload("e4", 30, project_id="p3"),
        psa_payload("e5", 45, user_id="u2", day=DAY + dt.timedelta(days=7)),
        now=now,
    )
    return look(engine, now)


def read(
    engine: Engine,
    *,
    users: Iterable[PsaUserFacts] = USERS,
    staff: Mapping[str, str] | None = None,
    parties: Iterable[dict[str, Any]] = (),
    now: dt.datetime = NOW,
) -> None:
    """The systems are read: users, and the payloads that the other lists come from. `staff` are e-mails in HR."""
    emails = {"1": "ada@example.com", "2": "b.fischer@example.com"} | dict(staff or {})
    known = list(parties) or [
        _party("70", "CUS-0001", "Kestrel", "GB"),
        _party("71", "OSP", "OSPREY SHIPPING LIMITED", "GB"),
        _party("72", "MISC", "Sundry buyers", "GB"),
    ]
    payloads = {
        ("clockify", "project"): [
            _project("p1", "PRJ-0001 Ledger", "c1"),
            _project("p2", "PRJ-0002 Ledger support", "c1"),
            _project("p3", "PRJ-0003 Harbor systems", "c2"),
            _project("p9", "Harbour systems phase two", "c2"),
        ],
        ("hubspot", "company"): [
            _company("9", "CUS-0001", "Kestrel"),
            _company("10", "CUS-0002", "Osprey Shipping Ltd"),
        ],
        ("bamboohr", "employee"): [
            _employee("1", "EMP-0001", "Ada", "Jones", emails["1"]),
            _employee("2", "EMP-0002", "Benjamin", "Fischer", emails["2"]),
        ],
        ("tryton", "party"): known,
        ("tryton", "analytic_account"): [
            _account("501", "PRJ-0001", "Ledger"),
            _account("502", "PRJ-0002", "Ledger support"),
            _account("503", "PRJ 3", "Harbor systems"),
        ],
    }
    with engine.begin() as connection:
        master_records.replace_all(
            connection,
            tenant=TENANT,
            object_type="psa_user",
            source="clockify",
            records=[(u.psa_id, u) for u in users],
            now=now,
        )
        for (source, object_type), bodies in payloads.items():
            inbox.record(
                connection,
                tenant=TENANT,
                source=source,
                object_type=object_type,
                payloads=[inbox.Payload(object_id=str(b["id"]), body=b) for b in bodies],
                arrived_by="sweep",
                now=now,
            )


def look(engine: Engine, now: dt.datetime = NOW) -> Upkeep:
    """Look at mappings, as after a refresh."""
    with engine.begin() as connection:
        return mapping_upkeep.upkeep(connection, SCOPE, now)


def _party(party_id: str, code: str, name: str, country: str) -> dict[str, Any]:
    return {"id": party_id, "code": code, "name": name, "countries": [country], "active": True}


def _account(account_id: str, code: str, name: str) -> dict[str, Any]:
    return {"id": account_id, "company": "2", "code": code, "name": name, "open": True}


def _project(project_id: str, name: str, client: str) -> dict[str, Any]:
    rates = {"hourlyRate": {"amount": 10_000, "currency": "GBP"}}
    return {"id": project_id, "name": name, "clientId": client, "archived": False, "memberships": [], **rates}


def _company(crm_id: str, code: str, name: str) -> dict[str, Any]:
    return {"id": crm_id, "properties": {"customer_code": code, "name": name, "country": "GB"}}


def _employee(hr_id: str, number: str, first: str, last: str, email: str) -> dict[str, Any]:
    return {
        "id": hr_id,
        "employeeNumber": number,
        "firstName": first,
        "lastName": last,
        "workEmail": email,
        "division": "UK",
        "status": "Active",
    }
