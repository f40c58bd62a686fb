"""Results of services as tables for the terminal."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from psa_erp_assets.cli.output import hours, print_table, stdout
from psa_erp_assets.services.plain import to_plain
from psa_erp_assets.services.planning import Plan
from psa_erp_assets.services.reconciliation import Reconciliation
from psa_erp_assets.services.status import Status
from psa_erp_assets.services.trace import PostingStory, Trace


def extracted(body: Mapping[str, Any]) -> None:
    """What `extract` read."""
    if "master_data" in body:
        rows = [
            (name, c["added"], c["changed"], c["removed"], c["unchanged"], c["exceptions"])
            for name, c in body["master_data"].items()
        ]
        columns = ("master data", "added", "changed", "removed", "unchanged", "exceptions")
        print_table("Master data", columns, rows, empty="nothing read")
    if "time" in body:
        read = body["time"]
        stdout.print(
            f"Time: {read['fetched']:,} entries read, {len(read['revised']):,} with a new revision,"
            f" {read['malformed']:,} malformed; {body['touched']:,} touched by changed master data."
        )


def plan_body(plan: Plan) -> dict[str, Any]:
    """A plan as JSON: its items without their full effects, and totals."""
    return {
        "id": plan.id,
        "legal_entity": plan.partition[0],
        "service_month": plan.partition[1],
        "actions": [
            {"action": action, "effect_type": effect, "items": number}
            for (action, effect), number in sorted(plan.actions().items())
        ],
        "items": [
            {
                "action": item.action.value,
                "effect_type": item.effect_type.value,
                "object_id": item.object_id,
                "contract_id": item.contract_id,
                "key": item.key,
                "amount": str(item.effect.amount.amount) if item.effect else None,
                "currency": item.effect.amount.currency if item.effect else None,
                "minutes": item.effect.minutes if item.effect else None,
                "code": item.hold.code if item.hold else None,
                "reason": item.reason,
            }
            for item in plan.items
        ],
    }


def plans(found: Sequence[Plan]) -> None:
    """Plans by contract, and what is held and why."""
    amounts: dict[tuple[Any, ...], Decimal] = defaultdict(Decimal)
    counts: Counter[tuple[Any, ...]] = Counter()
    minutes: Counter[tuple[Any, ...]] = Counter()
    held: Counter[tuple[Any, ...]] = Counter()
    for plan in found:
        for item in plan.items:
            if item.hold is not None:
                held[*plan.partition, item.hold.code, item.effect_type.value] += 1
            elif item.effect is not None:
                money = item.effect.amount
                row = (plan.id, *plan.partition, item.contract_id, item.action.value, item.effect_type.value)
                counts[*row, money.currency] += 1
                minutes[*row, money.currency] += item.effect.minutes
                amounts[*row, money.currency] += money.amount
    print_table(
        "Plan",
        ("plan", "entity", "month", "contract", "action", "effect", "currency", "items", "hours", "amount"),
        [(*row, counts[row], hours(minutes[row]), amounts[row]) for row in sorted(counts, key=str)],
        empty="nothing to do: the ERP is as it should be",
    )
    print_table(
        "Held",
        ("entity", "month", "code", "effect", "items"),
        [(*row, number) for row, number in sorted(held.items())],
        empty="nothing",
    )
    if counts:
        stdout.print("Nothing was posted. [bold]psa-erp apply PLAN[/bold] applies one, [bold]psa-erp apply[/bold] all.")


def reconciliation_body(result: Reconciliation) -> dict[str, Any]:
    """A reconciliation as JSON: totals by class, and each row that is not plainly matched."""
    return {
        "legal_entity": result.partition[0],
        "service_month": result.partition[1],
        "by_difference": [
            {"difference": d, "currency": c, "entries": n, "erp_minutes": m, "erp_amount": str(a)}
            for (d, c), (n, m, a) in sorted(_by_difference(result).items())
        ],
        "unexplained": [to_plain(row) for row in result.rows if not row.explained],
    }


def reconciliations(results: Sequence[Reconciliation]) -> None:
    """Reconciliations by class of difference."""
    rows = [
        (*result.partition, difference, currency, number, hours(minutes), amount)
        for result in results
        for (difference, currency), (number, minutes, amount) in sorted(_by_difference(result).items())
    ]
    columns = ("entity", "month", "difference", "currency", "entries", "ERP hours", "ERP amount")
    print_table("Approved time ↔ ERP billing lines ↔ posted invoices", columns, rows, empty="no time")
    strange = [row for result in results for row in result.rows if not row.explained]
    print_table(
        "Unexplained",
        ("entry", "difference", "approved", "ERP", "next step"),
        [(r.object_id, r.difference.value, r.approved_amount, r.erp_amount, r.next_step) for r in strange],
        empty="none",
    )


def status(found: Status) -> None:
    """Counts of everything."""
    oldest = found.oldest_unprocessed_seconds
    stdout.print(
        f"{found.payloads:,} payload versions; {found.deliveries_pending:,} webhook deliveries and"
        f" {found.entries_dirty:,} changed entries wait"
        + (f", the oldest for {oldest:,} s." if oldest is not None else ".")
    )
    entries = [(e.state, e.entries) for e in found.entries]
    print_table("Time entries", ("state", "entries"), entries, empty="none yet")
    postings = [(p.effect_type, p.state, p.postings) for p in found.postings]
    print_table("Postings", ("effect", "state", "postings"), postings, empty="none yet")
    groups = [(g.fault_class, g.code, g.items, g.next_step) for g in found.exceptions]
    print_table("Open exceptions", ("class", "code", "items", "next step"), groups, empty="none")


def trace(found: Trace) -> None:
    """The way of one time entry as a timeline, and where it ended."""
    stdout.print(f"[bold]{found.entry_id}[/bold]")
    events = sorted(_timeline(found), key=lambda event: event[0])
    print_table("Timeline", ("time (UTC)", "what", "detail"), [(_at(at), *rest) for at, *rest in events], empty="none")
    print_table(
        "In the ERP, as last read",
        ("document", "effect", "amount", "hours", "on", "state", "posted"),
        [
            (d.erp_id, d.effect_type, f"{d.amount:,} {d.currency}", hours(d.minutes), d.document, d.document_state,
             "yes" if d.posted else "no")
            for story in found.postings
            for d in story.documents
        ],
        empty="nothing",
    )  # fmt: skip
    print_table(
        "Open exceptions",
        ("code", "detail", "next step"),
        [(e.code, e.detail, e.next_step) for e in found.exceptions if e.resolved_at is None],
        empty="none",
    )


def _timeline(found: Trace) -> Iterator[tuple[dt.datetime, str, str]]:
    for payload in found.payloads:
        yield payload.received_at, f"payload {payload.version} received", f"by {payload.arrived_by}"
    for r in found.revisions:
        work = f"{hours(r.minutes)} on {r.service_date}, {'billable' if r.billable else 'not billable'}"
        yield r.recorded_at, f"revision {r.revision} is {r.state}", work
    for decision in found.decisions:
        why = "; ".join(f"{r.effect_type}: {r.detail}" for r in decision.reasons)
        used = ", ".join(f"{name} {version}" for name, version in decision.versions.items())
        yield decision.decided_at, f"decided: {decision.outcome}", why or f"with {used}"
    for item in found.plan_items:
        yield (
            item.created_at,
            f"plan {item.plan_id} ({item.status})",
            f"{item.action} {item.effect_type}: {item.reason}",
        )
    for story in found.postings:
        for event in story.events:
            yield event.at, f"{story.leg} {story.effect_type}", _event_text(story, event.event, event.to_state)


def _event_text(story: PostingStory, event: str, state: str) -> str:
    what = state if event == state else f"{event} → {state}"
    return f"{what} [{story.key[:8]}] {story.amount:,} {story.currency}"


def _by_difference(result: Reconciliation) -> dict[tuple[str, str], tuple[int, int, Decimal]]:
    totals: dict[tuple[str, str], tuple[int, int, Decimal]] = {}
    for row in result.rows:
        number, minutes, amount = totals.get((row.difference.value, row.currency or ""), (0, 0, Decimal(0)))
        totals[row.difference.value, row.currency or ""] = (
            number + 1,
            minutes + row.erp_minutes,
            amount + row.erp_amount,
        )
    return totals


def _at(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
