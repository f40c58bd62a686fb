"""From the operational store and the services' results to the frames that the lake's tables are made of.

One function a table of `contracts.lake_tables`, each with just that table's columns. Columns are of dtype object, so
that decimals, dates and missing integers stay what they are: pandas would turn some of them into floats.
"""

import dataclasses
import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from sqlalchemy import RowMapping

from psa_erp_assets.adapters.store import lake_rows, time_entries
from psa_erp_assets.adapters.store.work_heads import Partition
from psa_erp_assets.contracts import lake_tables
from psa_erp_assets.contracts.lake_tables import LakeTable
from psa_erp_assets.domain.decision import Decision, Outcome
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.faults import FAULTS
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.records import TimeEntry
from psa_erp_assets.services import canonical
from psa_erp_assets.services.deciding import decide_partition
from psa_erp_assets.services.read_back import erp_company
from psa_erp_assets.services.reconciliation import Reconciliation
from psa_erp_assets.services.runtime import Runtime

_ENTRIES = (
    (lake_tables.ERP_COST_ENTRIES, EffectType.COST_TRANSACTION),
    (lake_tables.ERP_INTERCOMPANY_CHARGES, EffectType.INTERCOMPANY_CHARGE),
    (lake_tables.ERP_REVENUE_ENTRIES, EffectType.REVENUE_ENTRY),
)
_RETIRED_CODE = "No step is known for this code: it was written by another version of the sync."


def master_data(records: Iterable[Any], table: LakeTable) -> pd.DataFrame:
    """Canonical records, as their lake table has them: money as an amount and, beside it, its currency."""
    return _frame((_flat(record) for record in records), table)


def approved_time(runtime: Runtime, partition: Partition) -> pd.DataFrame:
    """Approved entries of a partition, with what is decided about each from the current master data."""
    tenant = runtime.settings.tenant
    with runtime.engine.connect() as connection:
        decided = decide_partition(connection, runtime.scope, partition)
        recorded_at = lake_rows.recorded_at(connection, tenant, partition)
    master, rows = decided.master, []
    for decision in decided.decisions:
        entry = decided.items.get(decision.object_id)
        if not isinstance(entry, TimeEntry) or decision.outcome is Outcome.NONE:
            continue
        employee, project = master.employee(entry.psa_user_id), master.project(entry.psa_project_id)
        contract = master.contract(decision.route.contract_id)
        rows.append(
            {
                "tenant": tenant,
                "employee_id": employee.id if employee else None,
                "project_id": project.id if project else None,
                "contract_id": contract.id if contract else None,
                "customer_id": contract.customer_id if contract else None,
                "recorded_at": recorded_at[entry.id],
                **_of_entry(entry, partition),
                **_of_decision(decision),
            }
        )
    return _frame(rows, lake_tables.APPROVED_TIME)


def postings(runtime: Runtime, partition: Partition) -> pd.DataFrame:
    """The ledger of effects of a partition."""
    with runtime.engine.connect() as connection:
        rows = lake_rows.postings(connection, runtime.settings.tenant, partition)
    return _frame(rows, lake_tables.POSTINGS)


def read_back(runtime: Runtime, partition: Partition) -> list[tuple[LakeTable, pd.DataFrame, Mapping[str, str] | None]]:
    """What the ERP holds, as last read back: each table with its rows and the keys of the partition that they are.

    Invoices have no service month, so theirs are those of all legal entities.
    """
    tenant, company = runtime.settings.tenant, erp_company(runtime, partition[0])
    keys = {"legal_entity": partition[0], "service_month": partition[1]}
    with runtime.engine.connect() as connection:
        lines = lake_rows.billing_lines(connection, tenant, company, partition)
        entries = [
            (table, lake_rows.journal_entries(connection, tenant, company, partition, effect_type))
            for table, effect_type in _ENTRIES
        ]
        invoices = lake_rows.invoices(connection, tenant)
    return [
        (lake_tables.ERP_BILLING_LINES, _frame(lines, lake_tables.ERP_BILLING_LINES), keys),
        *((table, _frame(rows, table), keys) for table, rows in entries),
        (lake_tables.ERP_INVOICES, _frame(invoices, lake_tables.ERP_INVOICES), None),
    ]


def reconciliation(runtime: Runtime, found: Reconciliation) -> pd.DataFrame:
    """The rows of a reconciliation."""
    tenant = runtime.settings.tenant
    with runtime.engine.connect() as connection:
        users = {e.id: e.psa_user_id for e in time_entries.in_partition(connection, tenant, found.partition)}
        master = canonical.load_master(connection, runtime.scope)
    rows = []
    for row in found.rows:
        employee = master.employee(users.get(row.object_id, ""))
        rows.append(
            {
                "legal_entity": found.partition[0],
                "service_month": found.partition[1],
                "contract_id": row.contract_id,
                "employee_id": employee.id if employee else None,
                "entry_id": row.object_id,
                "approved_minutes": row.approved_minutes,
                "erp_minutes": row.erp_minutes,
                "invoiced_minutes": row.invoiced_minutes,
                "approved_amount": row.approved_amount,
                "erp_amount": row.erp_amount,
                "invoiced_amount": row.invoiced_amount,
                "currency": row.currency,
                "difference": row.difference.value,
                "explained": row.explained,
                "next_step": row.next_step,
            }
        )
    return _frame(rows, lake_tables.RECONCILIATION)


def exceptions(runtime: Runtime) -> pd.DataFrame:
    """All exception items, open and resolved."""
    with runtime.engine.connect() as connection:
        rows = lake_rows.exception_items(connection, runtime.settings.tenant)
    steps = {code: fault.next_step for code, fault in FAULTS.items()}
    return _frame(({**row, "next_step": steps.get(row["code"], _RETIRED_CODE)} for row in rows), lake_tables.EXCEPTIONS)


def stored(runtime: Runtime, table: str) -> pd.DataFrame:
    """All rows that the lake has of a table, as Python objects; none while nothing has been written."""
    schema = lake_tables.LAKE_TABLES[table]
    runtime.lake.ensure_tables([schema])
    rows = runtime.lake.rows(table).to_pylist()
    return _frame(rows, schema)


def selected(runtime: Runtime, sql: str, tables: Sequence[str]) -> pd.DataFrame:
    """The rows of a SELECT of ours over these lake tables, which are made if nothing has written them yet."""
    runtime.lake.ensure_tables(lake_tables.LAKE_TABLES[table] for table in tables)
    return runtime.lake.frame(sql)


def _of_entry(entry: TimeEntry, partition: Partition) -> dict[str, Any]:
    return {
        "entry_id": entry.id,
        "revision": entry.revision,
        "legal_entity": partition[0],
        "service_month": partition[1],
        "service_date": entry.service_date,
        "minutes": entry.minutes,
        "billable": entry.billable,
    }


def _of_decision(decision: Decision) -> dict[str, Any]:
    bill, cost = (decision.effect(kind) for kind in (EffectType.BILLING_LINE, EffectType.COST_TRANSACTION))
    versions = decision.versions
    fx = [versions[name] for name in ("billing_fx", "cost_fx") if name in versions]
    return {
        "outcome": decision.outcome.value,
        "hold_codes": sorted({hold.code for hold in decision.holds}),
        "bill_rate_id": versions.get("bill_rate"),
        "cost_rate_id": versions.get("cost_rate"),
        "fx_rate_id": ",".join(dict.fromkeys(",".join(fx).split(","))) if fx else None,
        "bill_amount": bill.amount.amount if bill else None,
        "bill_currency": bill.amount.currency if bill else None,
        "cost_amount": cost.amount.amount if cost else None,
        "cost_currency": cost.amount.currency if cost else None,
    }


def _flat(record: Any) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if isinstance(value, Money):
            row |= {field.name: value.amount, "currency": value.currency}
        else:
            row[field.name] = value.value if isinstance(value, enum.Enum) else value
    return row


def _frame(rows: Iterable[Mapping[str, Any] | RowMapping], table: LakeTable) -> pd.DataFrame:
    names: Sequence[str] = table.schema.names
    return pd.DataFrame([[row[name] for name in names] for row in rows], columns=list(names), dtype=object)
