"""Master records and mappings: what is current, what was, and since when."""

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, select

from psa_erp_assets.adapters.store import mappings, master_records, schema
from psa_erp_assets.adapters.store.bodies import from_body, to_body
from psa_erp_assets.adapters.store.master_records import Change
from psa_erp_assets.domain.facts import PsaUserFacts
from psa_erp_assets.domain.records import AccountingPeriod, Amendment, Contract, Customer
from psa_erp_assets.domain.terms import ContractKind
from psa_erp_assets.domain.terms_text import terms_from_text
from psa_erp_assets.domain.values import replace
from psa_erp_assets_tests.support.facts import (
    CONTRACT,
    CUSTOMER,
    EMPLOYEE,
    PROJECT,
    TAX,
    UK,
    bill_rate,
    cost_rate,
    fx_rate,
)

TENANT = "acme"
NOW = dt.datetime(2026, 10, 5, 9, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(hours=1)


MIXED = terms_from_text(
    """
    {"multipliers": {"overtime": "1.50"}, "expenses": {"limits": {"hotel": "180.00"}}, "components": [
        {"code": "build", "kind": "fixed_fee_schedule", "projects": ["PRJ-0001"], "fee": "100.00",
         "instalments": [{"due": "2026-09-30", "amount": "100.00", "label": "Ledger"}],
         "recognition": {"method": "cost_to_cost", "estimate": {"total_cost": "70.1234"}}},
        {"code": "run", "kind": "retainer", "retainer": {"fee": "10.00", "included_minutes": 600}}]}
    """,
    kind=ContractKind.MIXED,
    currency="GBP",
)
AMENDED = replace(
    CONTRACT,
    amendments=(
        Amendment(id="CTR-0001-A1", effective_from=dt.date(2026, 10, 1), legal_entity="US"),
        Amendment(id="CTR-0001-A2", effective_from=dt.date(2026, 11, 1), kind=ContractKind.MIXED, terms=MIXED),
    ),
)


def replace_customers(connection: Connection, *customers: Customer, now: dt.datetime = NOW) -> Change:
    records = [(c.id, c) for c in customers]
    return master_records.replace_all(
        connection, tenant=TENANT, object_type="customer", source="hubspot", records=records, now=now
    )


def current(connection: Connection) -> list[Customer]:
    return master_records.load_all(connection, tenant=TENANT, object_type="customer", record_type=Customer)


def versions(connection: Connection) -> list[tuple[str, int, bool]]:
    table = schema.master_record.c
    rows = connection.execute(
        select(table.canonical_id, table.version, table.superseded_at.is_(None)).order_by(table.id)
    )
    return [tuple(row) for row in rows]


@pytest.mark.parametrize(
    "record",
    [
        CUSTOMER,
        replace(CUSTOMER, psa_id=None, erp_party=None),
        CONTRACT,
        replace(CONTRACT, valid_to=dt.date(2026, 12, 31)),
        AMENDED,
        PROJECT,
        replace(PROJECT, closed=True, closed_on=dt.date(2026, 10, 14)),
        EMPLOYEE,
        UK,
        TAX,
        bill_rate(employee="EMP-0001"),
        cost_rate("60.1234"),
        fx_rate("USD", "GBP", "0.7421000000"),
        AccountingPeriod(id="UK@2026-09", legal_entity="UK", month="2026-09", closed=True),
        PsaUserFacts(psa_id="u", name="n", email="e", time_zone="Asia/Tokyo", active=True),
    ],
    ids=lambda record: type(record).__name__,
)
def test_every_kind_of_record_goes_there_and_back(clean_store: Engine, record: Any) -> None:
    """A rate that comes back as text, or a date as nothing, is found out by a wrong invoice."""
    assert from_body(type(record), to_body(record)) == record
    with clean_store.begin() as connection:
        identity = {"tenant": TENANT, "object_type": "any"}
        master_records.replace_all(connection, **identity, source="s", records=[("1", record)], now=NOW)
        assert master_records.load_all(connection, **identity, record_type=type(record)) == [record]


def test_what_is_the_same_makes_no_version(clean_store: Engine) -> None:
    """Every refresh would look like a change of everything, and touch every entry."""
    with clean_store.begin() as connection:
        assert replace_customers(connection, CUSTOMER) == Change(added=1, changed=0, removed=0, unchanged=0)
        assert replace_customers(connection, CUSTOMER, now=LATER) == Change(added=0, changed=0, removed=0, unchanged=1)
        assert versions(connection) == [("CUS-0001", 1, True)]


def test_terms_that_are_the_same_make_no_version(clean_store: Engine) -> None:
    """Each refresh would plan all contracts with terms anew."""
    again = replace(AMENDED, amendments=tuple(replace(a) for a in AMENDED.amendments))
    changed = replace(AMENDED, amendments=AMENDED.amendments[:1])
    with clean_store.begin() as connection:
        found = [
            master_records.replace_all(
                connection,
                tenant=TENANT,
                object_type="contract",
                source="hubspot",
                records=[(contract.id, contract)],
                now=NOW,
            )
            for contract in (AMENDED, again, changed)
        ]
        assert [(c.added, c.changed, c.unchanged) for c in found] == [(1, 0, 0), (0, 0, 1), (0, 1, 0)]
        stored = master_records.load_all(connection, tenant=TENANT, object_type="contract", record_type=Contract)
        assert stored == [changed]


def test_a_change_closes_the_version_before_it(clean_store: Engine) -> None:
    """Two current versions: which one bills depends on chance; none: everything is held."""
    other, changed = replace(CUSTOMER, id="CUS-0002"), replace(CUSTOMER, name="Kestrel Rail")
    with clean_store.begin() as connection:
        replace_customers(connection, CUSTOMER, other)
        change = replace_customers(connection, changed, replace(CUSTOMER, id="CUS-0003"), now=LATER)
        assert change == Change(added=1, changed=1, removed=1, unchanged=0)
        assert current(connection) == [changed, replace(CUSTOMER, id="CUS-0003")]
        superseded = connection.execute(
            select(schema.master_record.c.superseded_at).where(schema.master_record.c.canonical_id == "CUS-0002")
        ).scalar_one()
        assert superseded == LATER


def test_what_comes_back_gets_the_next_version(clean_store: Engine) -> None:
    """Its first version would be counted anew, and the history would have two of them."""
    with clean_store.begin() as connection:
        for customers in ((CUSTOMER,), (), (CUSTOMER,)):
            replace_customers(connection, *customers)
        assert versions(connection) == [("CUS-0001", 1, False), ("CUS-0001", 2, True)]


def test_kinds_and_tenants_do_not_meet(clean_store: Engine) -> None:
    """A refresh of one kind would remove all others."""
    with clean_store.begin() as connection:
        replace_customers(connection, CUSTOMER)
        common = {"source": "s", "records": [], "now": LATER}
        master_records.replace_all(connection, tenant=TENANT, object_type="contract", **common)
        master_records.replace_all(connection, tenant="other", object_type="customer", **common)
        assert current(connection) == [CUSTOMER]


def map_customers(connection: Connection, ids: dict[tuple[str, str], str], on: dt.date) -> int:
    noon = dt.datetime.combine(on, dt.time(12), dt.UTC)
    return mappings.replace_all(
        connection, tenant=TENANT, object_type="customer", ids=ids, method="exact key", now=noon
    )


def mapped(connection: Connection, on: dt.date | None = None) -> list[tuple[str, str, str]]:
    """System, source id and canonical id of what is open or, given a date, held on it."""
    table = schema.mapping.c
    rows = connection.execute(select(schema.mapping).order_by(table.system, table.source_id, table.id)).all()
    return [
        (row.system, row.source_id, row.canonical_id)
        for row in rows
        if (
            row.valid_to is None
            if on is None
            else row.valid_from <= on and (row.valid_to is None or on <= row.valid_to)
        )
    ]


MONDAY = dt.date(2026, 10, 5)
FRIDAY = MONDAY + dt.timedelta(days=4)


def test_a_mapping_holds_until_the_day_before_the_next_one(clean_store: Engine) -> None:
    """Edge cases 16 and 21: on one day two customers would own an id, or none."""
    with clean_store.begin() as connection:
        assert map_customers(connection, {("hubspot", "9"): "CUS-0001"}, MONDAY) == 1
        assert map_customers(connection, {("hubspot", "9"): "CUS-0002"}, FRIDAY) == 2
        for day in (MONDAY, FRIDAY - dt.timedelta(days=1)):
            assert mapped(connection, day) == [("hubspot", "9", "CUS-0001")]
        for day in (FRIDAY, FRIDAY + dt.timedelta(days=400)):
            assert mapped(connection, day) == [("hubspot", "9", "CUS-0002")]
        assert mapped(connection, MONDAY - dt.timedelta(days=1)) == []


def test_several_ids_may_stand_for_one_customer(clean_store: Engine) -> None:
    """Edge case 21: two source customers that are one ERP customer."""
    ids = {("hubspot", "9"): "CUS-0001", ("hubspot", "10"): "CUS-0001", ("tryton", "70"): "CUS-0001"}
    with clean_store.begin() as connection:
        map_customers(connection, ids, MONDAY)
        assert map_customers(connection, ids, FRIDAY) == 0
        assert len(mapped(connection)) == 3


def test_a_mapping_that_was_corrected_on_its_day_never_held(clean_store: Engine) -> None:
    """A mistake of an hour would stay in the history as a fact."""
    with clean_store.begin() as connection:
        map_customers(connection, {("hubspot", "9"): "CUS-0001"}, MONDAY)
        map_customers(connection, {("hubspot", "9"): "CUS-0002"}, MONDAY)
        assert mapped(connection, MONDAY) == mapped(connection) == [("hubspot", "9", "CUS-0002")]


def test_what_is_gone_ends_and_may_begin_again(clean_store: Engine) -> None:
    """An id that was used again would be refused for ever."""
    ids = {("hubspot", "9"): "CUS-0001"}
    with clean_store.begin() as connection:
        map_customers(connection, ids, MONDAY)
        map_customers(connection, {}, FRIDAY)
        assert mapped(connection) == []
        assert mapped(connection, MONDAY) == [("hubspot", "9", "CUS-0001")]
        map_customers(connection, ids, FRIDAY + dt.timedelta(days=3))
        assert mapped(connection) == [("hubspot", "9", "CUS-0001")]
