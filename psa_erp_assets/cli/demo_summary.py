"""The figures that the demo ends with, read from the ERP when all is over, and how they are printed.

What belongs here: counting, adding up and showing. What does not: what happened before (`demo`, `demo_story`).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Row

from psa_erp_assets.adapters.store import erp_documents, master_records, work_heads
from psa_erp_assets.adapters.store.work_heads import Partition
from psa_erp_assets.cli.demo_story import Approved
from psa_erp_assets.cli.output import hours, print_table, stdout
from psa_erp_assets.domain.effects import (
    BilledTo,
    BillingLine,
    EffectType,
    RevenueEntry,
    RevenueKind,
    from_payload,
)
from psa_erp_assets.domain.reconcile import CANCELLED
from psa_erp_assets.domain.records import Contract
from psa_erp_assets.services import exception_items
from psa_erp_assets.services import status as statuses
from psa_erp_assets.services.deciding import contract_of_object
from psa_erp_assets.services.read_back import erp_company
from psa_erp_assets.services.reconciliation import Minutes, Reconciliation
from psa_erp_assets.services.runtime import Runtime, open_runtime
from psa_erp_assets.settings import Settings

Amounts = Sequence[Mapping[str, str | int]]
"""Rows whose amounts are texts, so that no reader of the file makes floats of them."""

Documents = Mapping[Partition, Sequence[Row[Any]]]
"""What the ERP has in each partition, as just read back, with the object and the payload of what was sent."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What the demo ends with. Minutes, counts, and amounts as text by entity and currency.

    `approved_plans` waited for somebody, who approved them. `contract_balances` are by contract: what revenue entries
    earned less what billing lines billed, of those whose lines credit the contract's balance. `revenue` is by entity:
    what was earned by billing, and by revenue entries.
    """

    seconds: float
    approved_minutes: int
    billed_minutes: int
    non_billable_minutes: int
    held_minutes: int
    pending_minutes: int
    postings: int
    erp_documents_read_back: int
    duplicates: int
    unexplained_differences: int
    postings_of_a_second_sync: int
    approved_plans: Sequence[Approved]
    failed_checks: Sequence[str]
    open_exceptions: Mapping[str, int]
    open_exceptions_by_code: Mapping[str, int]
    amounts: Amounts
    contracts_by_kind: Mapping[str, int]
    revenue: Amounts
    contract_balances: Amounts
    expenses_billed: Amounts
    intercompany_charges: Amounts


def summarize(
    runtime: Runtime,
    partitions: Sequence[Partition],
    results: Sequence[Reconciliation],
    *,
    seconds: float,
    postings_of_a_second_sync: int,
    approved: Sequence[Approved],
    failed_checks: Sequence[str],
) -> Summary:
    """Count what the partitions' last reading of the ERP found, and what reconciling it gave."""
    documents = _documents(runtime, partitions)
    with runtime.engine.connect() as connection:
        groups = exception_items.group_exceptions(connection, runtime.settings.tenant)
        contracts = master_records.load_all(
            connection, tenant=runtime.settings.tenant, object_type="contract", record_type=Contract
        )
        heads = work_heads.heads(connection, runtime.settings.tenant)
    by_class: Counter[str] = Counter()
    for group in groups:
        by_class[group.fault_class] += group.items
    contract_of = {object_id: head.contract_id for object_id, head in heads.items()}
    return Summary(
        seconds=round(seconds, 1),
        **_sum([r.minutes for r in results]),
        postings=count_postings(runtime),
        erp_documents_read_back=sum(map(len, documents.values())),
        duplicates=_duplicates(documents),
        unexplained_differences=sum(not row.explained for r in results for row in r.rows),
        postings_of_a_second_sync=postings_of_a_second_sync,
        approved_plans=approved,
        failed_checks=failed_checks,
        open_exceptions=dict(by_class),
        open_exceptions_by_code={g.code: g.items for g in groups},
        amounts=_amounts(documents),
        contracts_by_kind=dict(sorted(Counter(c.kind.value for c in contracts).items())),
        revenue=_revenue(documents),
        contract_balances=_contract_balances(documents, contract_of),
        expenses_billed=_totals(
            (entity, row)
            for entity, row in _that_count(documents, EffectType.BILLING_LINE)
            if (row.object_id or "").startswith("expense:")
        ),
        intercompany_charges=_totals(_that_count(documents, EffectType.INTERCOMPANY_CHARGE)),
    )


def count_postings(runtime: Runtime) -> int:
    """How many postings the ledger has, whatever became of them."""
    with runtime.engine.connect() as connection:
        return sum(p.postings for p in statuses.status(connection, runtime.settings.tenant).postings)


def show(summary: Summary, results: Sequence[Reconciliation], settings: Settings, path: Path) -> None:
    """Print the summary as tables, and where to go on."""
    stdout.print()
    _table(
        "Billed, as the ERP has it",
        summary.amounts,
        {
            "entity": "legal_entity",
            "month": "service_month",
            "currency": "currency",
            "hours": "minutes",
            "net billed": "billed",
            "of it on posted invoices": "invoiced",
        },
    )
    parts = ("approved", "billed", "non_billable", "held", "pending")
    print_table(
        "Approved hours",
        parts,
        [tuple(hours(getattr(summary, f"{part}_minutes")) for part in parts)],
        empty="none",
    )
    print_table("Contracts", ("kind", "contracts"), list(summary.contracts_by_kind.items()), empty="none")
    _table(
        "Revenue, as the ERP has it",
        summary.revenue,
        {
            "entity": "legal_entity",
            "currency": "currency",
            "earned by billing": "by_billing",
            "by revenue entries": "by_entries",
            "provided for losses": "loss_provision",
        },
    )
    _table(
        "Contract balances: earned less billed",
        summary.contract_balances,
        {
            "contract": "contract",
            "entity": "legal_entity",
            "currency": "currency",
            "earned": "earned",
            "billed": "billed",
            "asset, or liability if negative": "balance",
        },
    )
    columns = {"entity": "legal_entity", "currency": "currency", "documents": "documents", "amount": "amount"}
    _table("Expenses billed", summary.expenses_billed, columns)
    _table("Charged to other entities of the group", summary.intercompany_charges, columns)
    print_table(
        "Plans above a limit, approved by",
        ("plan", "entity", "month", "why", "by", "note"),
        [(p.plan, p.legal_entity, p.service_month, p.why, p.by, p.note) for p in summary.approved_plans],
        empty="none",
    )
    differences = Counter(row.difference.value for result in results for row in result.rows)
    print_table("Reconciliation", ("difference", "entries"), sorted(differences.items()), empty="no time")
    with open_runtime(settings) as runtime, runtime.engine.connect() as connection:
        groups = exception_items.group_exceptions(connection, settings.tenant)
    print_table(
        "Open exceptions",
        ("class", "code", "items", "hours", "next step"),
        [(g.fault_class, g.code, g.items, hours(g.minutes), g.next_step) for g in groups],
        empty="none",
    )
    stdout.print(
        f"[bold]{summary.postings:,}[/bold] postings, {summary.erp_documents_read_back:,} documents read back from the"
        f" ERP, [bold]{summary.duplicates}[/bold] duplicates, [bold]{summary.unexplained_differences}[/bold]"
        f" unexplained differences, failed checks: [bold]{', '.join(summary.failed_checks) or 'none'}[/bold];"
        f" a second sync posted {summary.postings_of_a_second_sync}."
        f" {summary.seconds:.0f} seconds. Summary: {path}"
    )
    stdout.print(
        "\nGo on with\n"
        f"  make up                              Dagster on {settings.dagster_url}, console on {settings.console_url}\n"
        "  .venv/bin/psa-erp status             where everything stands\n"
        "  .venv/bin/psa-erp exceptions         what waits for somebody, and for whom\n"
        f"  duckdb {settings.home / 'reporting.duckdb'}   the reporting store",
        highlight=False,
    )


def _table(title: str, rows: Amounts, columns: Mapping[str, str]) -> None:
    """The rows' fields by column title; minutes are shown as hours, amounts with their thousands."""

    def shown(name: str, value: str | int) -> str | int | Decimal:
        if name == "minutes":
            return hours(int(value))
        return Decimal(value) if name in _AMOUNTS else value

    cells = [tuple(shown(name, row[name]) for name in columns.values()) for row in rows]
    print_table(title, tuple(columns), cells, empty="nothing")


_AMOUNTS = frozenset(
    {"billed", "invoiced", "by_billing", "by_entries", "loss_provision", "earned", "balance", "amount"}
)


def _documents(runtime: Runtime, partitions: Sequence[Partition]) -> Documents:
    companies = {entity: erp_company(runtime, entity) for entity, _ in partitions}
    with runtime.engine.connect() as connection:
        return {
            (entity, month): erp_documents.with_origins(connection, runtime.settings.tenant, companies[entity], month)
            for entity, month in partitions
        }


def _that_count(documents: Documents, effect_type: EffectType) -> Iterable[tuple[str, Row[Any]]]:
    """The documents of a type with their legal entity. What is on an invoice that finance cancelled counts no more."""
    for (entity, _), rows in documents.items():
        for row in rows:
            if row.effect_type == effect_type.value and row.document_state != CANCELLED:
                yield entity, row


def _sum(minutes: Sequence[Minutes]) -> dict[str, int]:
    return {
        f"{name}_minutes": sum(getattr(m, name) for m in minutes)
        for name in ("approved", "billed", "non_billable", "held", "pending")
    }


def _duplicates(documents: Documents) -> int:
    """Documents too many: those beyond the first under each of the sync's keys."""
    keys = Counter(row.key for rows in documents.values() for row in rows if row.key is not None)
    return sum(keys.values()) - len(keys)


def _amounts(documents: Documents) -> Amounts:
    """Net billed by entity, month and currency, as the ERP has it: all lines, and those on posted invoices."""
    totals: dict[tuple[str, str, str], list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    worked: Counter[tuple[str, str, str]] = Counter()
    for entity, row in _that_count(documents, EffectType.BILLING_LINE):
        total = (entity, row.service_month, row.currency)
        totals[total][0] += row.amount
        totals[total][1] += row.amount if row.posted else Decimal(0)
        worked[total] += row.minutes
    return [
        {
            "legal_entity": entity,
            "service_month": month,
            "currency": currency,
            "minutes": worked[entity, month, currency],
            "billed": str(billed),
            "invoiced": str(invoiced),
        }
        for (entity, month, currency), (billed, invoiced) in sorted(totals.items())
    ]


def _revenue(documents: Documents) -> Amounts:
    """By entity and currency: billing lines that credit revenue, and the revenue entries of both kinds."""
    totals: dict[tuple[str, str], dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    names = {RevenueKind.RECOGNITION: "by_entries", RevenueKind.LOSS_PROVISION: "loss_provision"}
    for entity, row, effect in _revenue_of(documents):
        if isinstance(effect, RevenueEntry):
            totals[entity, row.currency][names[effect.kind]] += row.amount
        elif effect.account is BilledTo.REVENUE:
            totals[entity, row.currency]["by_billing"] += row.amount
    return [
        {
            "legal_entity": entity,
            "currency": currency,
            **{name: str(total[name]) for name in ("by_billing", *names.values())},
        }
        for (entity, currency), total in sorted(totals.items())
    ]


def _contract_balances(documents: Documents, contract_of: Mapping[str, str | None]) -> Amounts:
    totals: dict[tuple[str, str, str], dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for entity, row, effect in _revenue_of(documents):
        of_contract = str(row.object_id).startswith("contract:")
        contract = (
            contract_of_object(row.object_id) if of_contract else contract_of.get(row.object_id.partition("#")[0])
        )
        total = totals[contract or "", entity, row.currency]
        if isinstance(effect, RevenueEntry):
            total["earned"] += row.amount if effect.kind is RevenueKind.RECOGNITION else Decimal(0)
        elif effect.account is BilledTo.CONTRACT_BALANCE:
            total["billed"] += row.amount
    return [
        {
            "contract": contract,
            "legal_entity": entity,
            "currency": currency,
            "earned": str(total["earned"]),
            "billed": str(total["billed"]),
            "balance": str(total["earned"] - total["billed"]),
        }
        for (contract, entity, currency), total in sorted(totals.items())
        if total
    ]


def _revenue_of(documents: Documents) -> Iterable[tuple[str, Row[Any], BillingLine | RevenueEntry]]:
    """What was sent of billing and revenue, beside the document that the ERP has of it."""
    for effect_type in (EffectType.BILLING_LINE, EffectType.REVENUE_ENTRY):
        for entity, row in _that_count(documents, effect_type):
            effect = None if row.payload is None else from_payload(row.payload)
            if isinstance(effect, BillingLine | RevenueEntry):
                yield entity, row, effect


def _totals(rows: Iterable[tuple[str, Row[Any]]]) -> Amounts:
    """Number and amount of documents by entity and currency."""
    counts: Counter[tuple[str, str]] = Counter()
    amounts: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for entity, row in rows:
        counts[entity, row.currency] += 1
        amounts[entity, row.currency] += row.amount
    return [
        {"legal_entity": entity, "currency": currency, "documents": counts[entity, currency], "amount": str(amount)}
        for (entity, currency), amount in sorted(amounts.items())
    ]
