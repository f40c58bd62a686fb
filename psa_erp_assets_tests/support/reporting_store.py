"""A reporting file as the models make it, of a small firm in three legal entities over three months."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from psa_erp_assets.adapters.duck_sql import FUNCTIONS, identifier
from psa_erp_assets.adapters.lake import column_types
from psa_erp_assets.adapters.reporting_file import REPORTING_FILE
from psa_erp_assets.contracts.lake_tables import LAKE_TABLES
from psa_erp_assets.services.reporting import models

MONTHS = ("2026-07", "2026-08", "2026-09")
PUBLISHED_AT = dt.datetime(2026, 10, 5, 6, tzinfo=dt.UTC)
FORMULA = '=HYPERLINK("http://elsewhere.example","open")'
"""The name of a customer that a spreadsheet would calculate."""

BOOKS = {"US": "USD", "UK": "GBP", "DE": "EUR"}
_RATES = {"US": Decimal(200), "UK": Decimal(150), "DE": Decimal(160)}
_CUSTOMERS = {"US": "Cascade Freight", "UK": "Łódź Płynne & Søn", "DE": FORMULA}
_SEEN = dt.datetime(2026, 9, 30, 12, tzinfo=dt.UTC)


@pytest.fixture(scope="session")
def reporting_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file, made once a session; tests only read it."""
    return make_reporting_file(tmp_path_factory.mktemp("reporting"))


def make_reporting_file(folder: Path) -> Path:
    """The file, put in its place in a folder by a rename as a publisher does."""
    draft = folder / "draft.duckdb"
    with duckdb.connect(str(draft)) as connection:
        for statement in FUNCTIONS:
            connection.execute(statement)
        rows = dict(_company())
        for table in LAKE_TABLES.values():
            types = column_types(connection, table)
            columns = ", ".join(f"{identifier(name)} {kind}" for name, kind in types.items())
            connection.execute(f"CREATE TABLE {identifier(table.name)} ({columns})")
            _insert(connection, table.name, rows.get(table.name, []))
        for model in models().values():
            connection.execute(f"CREATE TABLE {identifier(model.name)} AS {model.sql}")
        connection.execute("CREATE TABLE publication (published_at TIMESTAMPTZ, lake_snapshot BIGINT)")
        connection.execute("INSERT INTO publication VALUES (?, 7)", [PUBLISHED_AT])
    return draft.rename(folder / REPORTING_FILE)


def _insert(connection: duckdb.DuckDBPyConnection, name: str, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        columns = ", ".join(identifier(column) for column in row)
        marks = ", ".join("?" for _ in row)
        connection.execute(f"INSERT INTO {identifier(name)} ({columns}) VALUES ({marks})", list(row.values()))


def _company() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    yield "company", [{"group_currency": "USD"}]
    yield (
        "legal_entities",
        [
            {"code": code, "name": f"{code} company", "currency": books, "country": code, "time_zone": "UTC"}
            for code, books in BOOKS.items()
        ],
    )
    yield (
        "customers",
        [{"id": f"CUS-{code}", "name": name, "country": code} for code, name in _CUSTOMERS.items()]
        + [{"id": "CUS-NEW", "name": "Neue Werke", "country": "DE"}],
    )
    yield (
        "contracts",
        [_contract(code, f"CTR-{code}", f"CUS-{code}") for code in BOOKS] + [_contract("DE", "CTR-NEW", "CUS-NEW")],
    )
    yield (
        "projects",
        [
            {
                "id": f"PRJ-{end}",
                "code": f"P-{end}",
                "name": f"Project {end}",
                "contract_id": f"CTR-{end}",
                "closed": False,
            }
            for end in (*BOOKS, "NEW")
        ],
    )
    yield (
        "employees",
        [
            {
                "id": f"EMP-{code}-{number}",
                "name": f"Employee {code} {number}",
                "legal_entity": code,
                "department": "Data" if number == 1 else "Advisory",
                "role": "Senior" if number == 1 else "Analyst",
                "time_zone": "UTC",
            }
            for code in BOOKS
            for number in (1, 2)
        ],
    )
    yield (
        "fx_rates",
        [
            {
                "id": f"FX-{books}",
                "from_currency": books,
                "to_currency": "USD",
                "date": dt.date(2026, 1, 1),
                "rate": rate,
            }
            for books, rate in (("EUR", Decimal("1.1")), ("GBP", Decimal("1.3")))
        ],
    )
    yield (
        "bill_rates",
        [
            {
                "id": f"BR-{code}",
                "project_id": f"PRJ-{code}",
                "per_hour": _RATES[code],
                "currency": BOOKS[code],
                "valid_from": dt.date(2026, 1, 1),
            }
            for code in BOOKS
        ],
    )
    entries = [*_entries()]
    yield "approved_time", [_approved(one) for one in entries]
    yield "decided_work", [_decided(one) for one in entries]
    billed = [one for one in entries if one["outcome"] == "post"]
    yield "postings", [_posting(one, effect) for one in billed for effect in ("billing_line", "cost_transaction")]
    yield "erp_billing_lines", [_line(one) for one in billed]
    yield "erp_cost_entries", [_cost(one) for one in billed]
    yield "erp_invoices", [*_invoices(billed)]
    yield "reconciliation", [_reconciled(one) for one in entries]
    yield (
        "contract_backlog",
        [
            {"contract_id": f"CTR-{code}", "component": "main", "as_of_month": "2026-09", "month": month, **more}
            for code, month, more in (
                ("US", "2026-11", {"amount": Decimal("5000.00"), "currency": "USD"}),
                ("DE", "2026-10", {"amount": Decimal("3000.00"), "currency": "EUR"}),
                ("UK", None, {"gap": "no_estimate"}),
            )
        ],
    )
    yield (
        "exceptions",
        [
            {
                "id": 1,
                "code": "no_cost_rate",
                "fault_class": "data",
                "owner": "finance",
                "next_step": "Record it.",
                "object_id": next(one["object_id"] for one in entries if one["outcome"] == "hold"),
                "legal_entity": "UK",
                "service_month": "2026-09",
                "minutes": 240,
                "first_seen_at": _SEEN,
                "last_seen_at": _SEEN,
            }
        ],
    )


def _contract(code: str, contract: str, customer: str) -> dict[str, Any]:
    return {
        "id": contract,
        "name": f"Advice {contract}",
        "customer_id": customer,
        "legal_entity": code,
        "kind": "time_and_materials",
        "currency": BOOKS[code],
        "valid_from": dt.date(2026, 1, 1),
    }


def _entries() -> Iterator[dict[str, Any]]:
    number = 0
    for at, month in enumerate(MONTHS):
        for end, code in (*((code, code) for code in BOOKS), ("NEW", "DE")):
            if end == "NEW" and month != MONTHS[-1]:
                continue
            for person in (1, 2):
                # A little more each month, and the second person of the UK does what is not billed.
                for day in range(4 + at + person):
                    number += 1
                    outcome = "post"
                    if (code, person) == ("UK", 2):
                        outcome = ("hold", "written_off", "non_billable", "post")[day % 4]
                    minutes = 240 + 60 * (day % 3)
                    yield {
                        "object_id": f"time_entry:clockify:{number:024x}",
                        "key": f"{number:032x}",
                        "line": str(1000 + number),
                        "end": end,
                        "legal_entity": code,
                        "service_month": month,
                        "service_date": dt.date.fromisoformat(f"{month}-{day + 1:02d}"),
                        "employee_id": f"EMP-{code}-{person}",
                        "outcome": outcome,
                        "minutes": minutes,
                        "amount": _RATES[code] * minutes / 60,
                        "invoiced": month != MONTHS[-1],
                    }


def _approved(one: dict[str, Any]) -> dict[str, Any]:
    kept = ("legal_entity", "service_month", "service_date", "employee_id", "minutes", "outcome")
    return {name: one[name] for name in kept} | {
        "tenant": "acme",
        "entry_id": one["object_id"],
        "revision": 1,
        "project_id": f"PRJ-{one['end']}",
        "contract_id": f"CTR-{one['end']}",
        "customer_id": f"CUS-{one['end']}",
        "billable": True,
        "hold_codes": ["no_cost_rate"] if one["outcome"] == "hold" else [],
        "recorded_at": _SEEN,
    }


def _decided(one: dict[str, Any]) -> dict[str, Any]:
    kept = ("object_id", "legal_entity", "service_month", "service_date", "employee_id", "minutes", "outcome")
    return {name: one[name] for name in kept} | {
        "part": 1,
        "kind": "time",
        "project_id": f"PRJ-{one['end']}",
        "contract_id": f"CTR-{one['end']}",
        "component": "main",
        "recorded_as_billable": True,
        "bill_amount": one["amount"] if one["outcome"] == "post" else None,
        "currency": BOOKS[one["legal_entity"]],
        "reason": None if one["outcome"] == "post" else "rules",
        "revision": 1,
    }


def _posting(one: dict[str, Any], effect: str) -> dict[str, Any]:
    kept = ("legal_entity", "service_month", "service_date", "object_id", "minutes", "amount")
    return {name: one[name] for name in kept} | {
        "key": _key(one, effect),
        "effect_type": effect,
        "leg": "original",
        "operation": "create",
        "revision": 1,
        "state": "verified",
        "currency": BOOKS[one["legal_entity"]],
        "erp_id": one["line"],
        "booked_as": "revenue" if effect == "billing_line" else "labor",
        "created_at": _SEEN,
        "verified_at": _SEEN,
        "attempts": 1,
    }


def _key(one: dict[str, Any], effect: str) -> str:
    return one["key"] if effect == "billing_line" else f"c{one['key'][1:]}"


def _line(one: dict[str, Any]) -> dict[str, Any]:
    kept = ("legal_entity", "service_month", "service_date", "minutes")
    return {name: one[name] for name in kept} | {
        "key": one["key"],
        "erp_id": one["line"],
        "party_code": f"CUS-{one['end']}",
        "project_code": f"P-{one['end']}",
        "net_amount": one["amount"],
        "currency": BOOKS[one["legal_entity"]],
        "tax_amount": Decimal(0),
        "posted": one["invoiced"],
        "invoice_number": _invoice_number(one) if one["invoiced"] else None,
        "invoice_state": "posted" if one["invoiced"] else None,
        "invoice_date": _month_end(one["service_month"]) if one["invoiced"] else None,
    }


def _cost(one: dict[str, Any]) -> dict[str, Any]:
    kept = ("legal_entity", "service_month", "service_date", "minutes")
    return {name: one[name] for name in kept} | {
        "key": _key(one, "cost_transaction"),
        "erp_id": one["line"],
        "project_code": f"P-{one['end']}",
        "amount": Decimal(60) * one["minutes"] / 60,
        "currency": BOOKS[one["legal_entity"]],
        "posted": True,
    }


def _invoices(billed: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    sums: dict[tuple[str, str], Decimal] = {}
    for one in billed:
        if one["invoiced"]:
            key = (one["end"], one["service_month"])
            sums[key] = sums.get(key, Decimal(0)) + one["amount"]
    for number, ((end, month), amount) in enumerate(sums.items(), start=1):
        yield {
            "erp_id": str(number),
            "number": f"INV-{end}-{month}",
            "legal_entity": end,
            "party_code": f"CUS-{end}",
            "invoice_date": _month_end(month),
            "currency": BOOKS[end],
            "net_amount": amount,
            "tax_amount": Decimal(0),
            "total_amount": amount,
            "open_amount": amount if month == MONTHS[1] else Decimal(0),
            "state": "posted" if month == MONTHS[1] else "paid",
        }


def _reconciled(one: dict[str, Any]) -> dict[str, Any]:
    posted = one["outcome"] == "post"
    unexplained = posted and one["end"] == "NEW" and one["minutes"] == 300
    kinds = {"post": "matched" if one["invoiced"] else "not_invoiced", "hold": "held"}
    return {
        "legal_entity": one["legal_entity"],
        "service_month": one["service_month"],
        "contract_id": f"CTR-{one['end']}",
        "employee_id": one["employee_id"],
        "entry_id": one["object_id"],
        "approved_minutes": one["minutes"],
        "erp_minutes": one["minutes"] if posted else 0,
        "invoiced_minutes": one["minutes"] if posted and one["invoiced"] else 0,
        "approved_amount": one["amount"] if posted else None,
        "erp_amount": one["amount"] if posted else Decimal(0),
        "invoiced_amount": one["amount"] if posted and one["invoiced"] else Decimal(0),
        "currency": BOOKS[one["legal_entity"]] if posted else None,
        "difference": "bug" if unexplained else kinds.get(one["outcome"], "non_billable"),
        "explained": not unexplained,
        "next_step": "Look at it." if unexplained else "Nothing to do.",
    }


def _invoice_number(one: dict[str, Any]) -> str:
    return f"INV-{one['end']}-{one['service_month']}"


def _month_end(month: str) -> dt.date:
    year, number = map(int, month.split("-"))
    return dt.date(year + number // 12, number % 12 + 1, 1) - dt.timedelta(days=1)
