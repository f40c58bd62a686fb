"""From the operational store and the services' results to the frames that the lake's tables are made of.

One function a table of `contracts.lake_tables`, each with just that table's columns. Columns are of dtype object, so
that decimals, dates and missing integers stay what they are: pandas would turn some of them into floats.
"""

import dataclasses
import datetime as dt
import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pandas as pd
from sqlalchemy import RowMapping

from psa_erp_assets.adapters.store import bodies, lake_rows, time_entries, work_heads
from psa_erp_assets.adapters.store.work_heads import Partition
from psa_erp_assets.contracts import lake_tables
from psa_erp_assets.contracts.lake_tables import LakeTable
from psa_erp_assets.domain.balances import Balance
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decide import Decider
from psa_erp_assets.domain.decision import Decision, Outcome, Part
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.faults import FAULTS
from psa_erp_assets.domain.keys import content_hash
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.records import Contract, Expense, Milestone, TimeEntry, WorkItem
from psa_erp_assets.services import canonical
from psa_erp_assets.services.contract_account import contract_account
from psa_erp_assets.services.deciding import decide_partition, fact_of
from psa_erp_assets.services.read_back import erp_company
from psa_erp_assets.services.reconciliation import Reconciliation
from psa_erp_assets.services.runtime import Runtime

_ENTRIES = (
    (lake_tables.ERP_COST_ENTRIES, EffectType.COST_TRANSACTION),
    (lake_tables.ERP_INTERCOMPANY_CHARGES, EffectType.INTERCOMPANY_CHARGE),
    (lake_tables.ERP_REVENUE_ENTRIES, EffectType.REVENUE_ENTRY),
)
_KIND_OF: Mapping[type, str] = {TimeEntry: "time", Expense: "expense", Milestone: "milestone"}
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
        on = entry.service_date
        employee, project = master.employee(entry.psa_user_id, on), master.project(entry.psa_project_id, on)
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

    Invoices and payments have no service month, so theirs are those of all legal entities.
    """
    tenant, company = runtime.settings.tenant, erp_company(runtime, partition[0])
    keys = {"legal_entity": partition[0], "service_month": partition[1]}
    with runtime.engine.connect() as connection:
        lines = lake_rows.billing_lines(connection, tenant, company, partition)
        entries = [
            (table, lake_rows.journal_entries(connection, tenant, company, partition, effect_type))
            for table, effect_type in _ENTRIES
        ]
        invoices, payments = lake_rows.invoices(connection, tenant), lake_rows.payments(connection, tenant)
    return [
        (lake_tables.ERP_BILLING_LINES, _frame(lines, lake_tables.ERP_BILLING_LINES), keys),
        *((table, _frame(rows, table), keys) for table, rows in entries),
        (lake_tables.ERP_INVOICES, _frame(invoices, lake_tables.ERP_INVOICES), None),
        (lake_tables.ERP_PAYMENTS, _frame(payments, lake_tables.ERP_PAYMENTS), None),
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


def company(runtime: Runtime) -> pd.DataFrame:
    """What holds for the group as a whole."""
    mark_up = runtime.scope.rules.cost.intercompany_mark_up
    row = {"group_currency": runtime.settings.company.group_currency, "intercompany_mark_up": mark_up}
    return _frame([row], lake_tables.COMPANY)


def decided_work(runtime: Runtime) -> pd.DataFrame:
    """What is decided about each part of each fact and contract object, in all partitions."""
    rows: list[dict[str, Any]] = []
    with runtime.engine.connect() as connection:
        decider = Decider(canonical.load_master(connection, runtime.scope), runtime.scope.rules)
        for partition in work_heads.partitions(connection, runtime.settings.tenant):
            decided = decide_partition(connection, runtime.scope, partition, decider=decider)
            for decision in decided.decisions:
                if decision.outcome is not Outcome.NONE:
                    rows += _parts_of(decision, decided.items.get(fact_of(decision)), decided.master)
    return _frame(rows, lake_tables.DECIDED_WORK)


def contract_balances(runtime: Runtime) -> pd.DataFrame:
    """The running totals that contracts' months have left, by component."""
    with runtime.engine.connect() as connection:
        kept = lake_rows.balances(connection, runtime.settings.tenant)
        master = canonical.load_master(connection, runtime.scope)
    rows = []
    for row in kept:
        contract = master.contract(row["contract_id"])
        for component, total in Balance.from_body(row["body"]).components.items() if contract is not None else ():
            assert contract is not None
            totals = {"billed": total.billed, "earned": total.earned, "minutes": total.minutes}
            rows.append({**row, "component": component, "currency": contract.currency, **totals})
    return _frame(rows, lake_tables.CONTRACT_BALANCES)


def contract_backlog(runtime: Runtime) -> pd.DataFrame:
    """What signed contracts will still earn after this month, or why that cannot be told."""
    today, rows = runtime.clock().date(), list[dict[str, Any]]()
    with runtime.engine.connect() as connection:
        for contract in canonical.load_master(connection, runtime.scope).contracts:
            if contract.valid_from > today:
                continue
            account = contract_account(connection, runtime.scope, contract.id, ServiceMonth.of(today), today=today)
            for component in account.components:
                of = {
                    "contract_id": contract.id,
                    "component": component.component,
                    "as_of_month": account.month,
                    "currency": account.currency,
                    "gap": component.backlog_gap,
                }
                rows += [{**of, "month": m.month, "amount": m.amount} for m in component.backlog]
                if component.backlog_gap is not None:
                    rows.append({**of, "month": None, "amount": Decimal(0)})
    return _frame(rows, lake_tables.CONTRACT_BACKLOG)


def account_balances(runtime: Runtime) -> pd.DataFrame:
    """The general ledger of each entity's books, for every month from the first with work, and all before it.

    Raises TrytonError.
    """
    reader, today, rows = runtime.erp_reader, runtime.clock().date(), list[dict[str, Any]]()
    roles = {code: role for role, code in dataclasses.asdict(reader.chart).items() if code.isdigit()}
    with runtime.engine.connect() as connection:
        worked = work_heads.partitions(connection, runtime.settings.tenant)
        entities = {e.code: e for e in canonical.load_master(connection, runtime.scope).legal_entities}
    for code in sorted({entity for entity, _ in worked} & entities.keys()):
        month = ServiceMonth.parse(min(month for entity, month in worked if entity == code))
        last = max(ServiceMonth.of(today), *(ServiceMonth.parse(month) for _, month in worked))
        company = entities[code].erp_company
        before = ServiceMonth.of(month.first_day - dt.timedelta(days=1))
        read = [(before, reader.opening_balances(company, month), True)]
        while month <= last:
            read.append((month, reader.general_ledger(company, month), False))
            month = month.next()
        rows += [
            {
                "legal_entity": code,
                "month": str(of_month),
                "account": account,
                "role": roles.get(account, balance.kind),
                "posted": balance.posted,
                "draft": balance.draft,
                "currency": entities[code].currency,
                "opening": opening,
            }
            for of_month, balances, opening in read
            for account, balance in balances.items()
        ]
    return _frame(rows, lake_tables.ACCOUNT_BALANCES)


def credits_given(runtime: Runtime) -> pd.DataFrame:
    """The minutes that were credited to customers."""
    with runtime.engine.connect() as connection:
        rows = lake_rows.all_credits(connection, runtime.settings.tenant)
    return _frame(rows, lake_tables.CREDITS)


def adjustments(runtime: Runtime) -> pd.DataFrame:
    """What people decided about single pieces of work beside the systems of record."""
    with runtime.engine.connect() as connection:
        rows = lake_rows.adjustments(connection, runtime.settings.tenant)
    return _frame(rows, lake_tables.ADJUSTMENTS)


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


def _parts_of(decision: Decision, item: WorkItem | None, master: MasterData) -> Iterator[dict[str, Any]]:
    on = item.service_date if item is not None else decision.route.service_month.last_day
    if item is None and decision.effects:
        on = decision.effects[0].service_date
    # The third word of a contract object's id says what it is, that of a fact is its class.
    kind = _KIND_OF[type(item)] if item is not None else decision.object_id.split(":")[2]
    employee = master.employee(item.psa_user_id, on) if isinstance(item, TimeEntry | Expense) else None
    project = master.project(item.psa_project_id, on) if isinstance(item, TimeEntry | Expense) else None
    bill = decision.effect(EffectType.BILLING_LINE)
    line = bill or decision.effect(EffectType.REVENUE_ENTRY)
    holds = ", ".join(sorted({hold.code for hold in decision.holds})) or None
    whole = Part(
        outcome=decision.outcome, minutes=decision.minutes, amount=line.amount if line else None, reason=holds or ""
    )
    for number, part in enumerate(decision.parts or (whole,), start=1):
        billed = bill is not None and (part is whole or part.outcome is Outcome.POST)
        yield {
            "object_id": decision.object_id,
            "part": number,
            "kind": kind,
            "legal_entity": decision.route.legal_entity,
            "service_month": str(decision.route.service_month),
            "service_date": on,
            "employee_id": employee.id if employee else None,
            "project_id": project.id if project else None,
            "contract_id": decision.route.contract_id,
            "component": decision.component,
            "outcome": part.outcome.value,
            "minutes": part.minutes,
            "recorded_as_billable": item.billable if isinstance(item, TimeEntry | Expense) else True,
            "amount": part.amount.amount if part.amount else None,
            "currency": part.amount.currency if part.amount else None,
            "bill_amount": part.amount.amount if billed and part.amount else None,
            "reason": part.reason or None,
            "revision": item.revision if item is not None else None,
        }


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
        elif isinstance(value, Mapping):
            row[field.name] = ", ".join(f"{name}:{value[name]}" for name in sorted(value)) or None
        else:
            row[field.name] = value.value if isinstance(value, enum.Enum) else value
    if isinstance(record, Contract):
        row["content"] = content_hash(bodies.to_body(record))
    return row


def _frame(rows: Iterable[Mapping[str, Any] | RowMapping], table: LakeTable) -> pd.DataFrame:
    names: Sequence[str] = table.schema.names
    return pd.DataFrame([[row[name] for name in names] for row in rows], columns=list(names), dtype=object)
