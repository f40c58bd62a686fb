"""Results of services as tables for the terminal."""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from psa_erp_assets.adapters.store.plan_lists import PlanRow
from psa_erp_assets.cli.output import hours, print_table, stdout
from psa_erp_assets.domain.plan import PlanItem
from psa_erp_assets.domain.shadow import EXPLANATIONS, Compared
from psa_erp_assets.services.gate import Gate
from psa_erp_assets.services.period_choices import WaitingEffect
from psa_erp_assets.services.plain import to_plain
from psa_erp_assets.services.plan_report import PlanReport
from psa_erp_assets.services.planning import Plan
from psa_erp_assets.services.reconciliation import Reconciliation
from psa_erp_assets.services.rollout import RolloutReport
from psa_erp_assets.services.status import Status
from psa_erp_assets.services.trace import Invoice, PlannedItem, PostingStory, Trace


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


def plan_body(plan: Plan, report: PlanReport, items: Iterable[PlanItem]) -> dict[str, Any]:
    """A plan as JSON: its items without their full effects, and totals by action and by contract."""
    return {
        "id": plan.id,
        "legal_entity": plan.partition[0],
        "service_month": plan.partition[1],
        "status": plan.status,
        "approval_reasons": list(plan.approval_reasons),
        "actions": [
            {"action": action, "effect_type": effect, "items": number}
            for (action, effect), number in sorted(plan.actions().items())
        ],
        "contracts": to_plain(report)["contracts"],
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
            for item in items
        ],
    }


def plans(found: Sequence[PlanReport]) -> None:
    """Plans by contract, and what is held and why."""
    rows = [
        (r.plan.id, r.plan.legal_entity, r.plan.service_month, c.contract_id, a.action, c.effect_type, c.currency,
         a.items, hours(a.minutes), a.amount)
        for r in found
        for c in r.contracts
        for a in c.actions
    ]  # fmt: skip
    print_table(
        "Plan",
        ("plan", "entity", "month", "contract", "action", "effect", "currency", "items", "hours", "amount"),
        rows,
        empty="nothing to do: all is in the ERP, or planned already (`psa-erp status` shows what is under way)",
    )
    changes = [
        (r.plan.id, c.contract_id, c.effect_type, c.currency, c.before, c.after, c.difference)
        for r in found
        for c in r.contracts
        if c.difference
    ]
    if changes:
        columns = ("plan", "contract", "effect", "currency", "before", "after", "difference")
        print_table("Before and after", columns, changes, empty="no change")
    held = [
        (r.plan.legal_entity, r.plan.service_month, h.contract_id, h.code, h.effect_type, h.items)
        for r in found
        for h in r.held
    ]
    print_table("Held", ("entity", "month", "contract", "code", "effect", "items"), held, empty="nothing")
    if rows:
        stdout.print("Nothing was posted. [bold]psa-erp apply PLAN[/bold] applies one, [bold]psa-erp apply[/bold] all.")
    for plan in (r.plan for r in found if r.plan.approval_reasons and r.plan.status != "approved"):
        why = "; ".join(plan.approval_reasons)
        stdout.print(
            f"Plan {plan.id} must be approved first ({why}): psa-erp plan approve {plan.id}",
            highlight=False,
            markup=False,
        )


def plan(report: PlanReport) -> None:
    """One plan: its head, what it does by contract, and why."""
    head = report.plan
    stdout.print(
        f"[bold]Plan {head.id}[/bold], {head.legal_entity} {head.service_month}: {head.status}."
        f" Made by {head.created_by}, {at(head.created_at)}.",
        highlight=False,
    )
    if head.contracts is not None:
        stdout.print(f"For {', '.join(c or 'work on no contract' for c in head.contracts)}.", highlight=False)
    for reason in head.approval_reasons:
        stdout.print(f"Needs approval: {reason}", highlight=False, markup=False)
    if head.reviewed_by is not None and head.reviewed_at is not None:
        reviewed = f"Reviewed by {head.reviewed_by}, {at(head.reviewed_at)}: {head.review_note}"
        stdout.print(reviewed, highlight=False, markup=False)
    print_table(
        "By contract",
        ("contract", "effect", "currency", "action", "items", "hours", "amount"),
        [
            (c.contract_id, c.effect_type, c.currency, a.action, a.items, hours(a.minutes), a.amount)
            for c in report.contracts
            for a in c.actions
        ],
        empty="nothing to do",
    )
    if head.status in ("proposed", "approved"):
        print_table(
            "Before and after",
            ("contract", "effect", "currency", "before", "after", "difference"),
            [(c.contract_id, c.effect_type, c.currency, c.before, c.after, c.difference) for c in report.contracts],
            empty="no change",
        )
    why = [(r.action, r.reason, r.items) for r in report.reasons]
    print_table("Why", ("action", "reason", "items"), why, empty="nothing")
    held = [(h.contract_id, h.effect_type, h.code, h.items, h.detail) for h in report.held]
    print_table("Held", ("contract", "effect", "code", "items", "first detail"), held, empty="nothing")


def plan_list(found: Sequence[PlanRow]) -> None:
    """Plans, one a row."""
    print_table(
        "Plans",
        ("plan", "entity", "month", "status", "items", "made by", "at (UTC)", "needs approval", "reviewed by"),
        [
            (p.id, p.legal_entity, p.service_month, p.status, p.items, p.created_by, at(p.created_at),
             "; ".join(p.approval_reasons), p.reviewed_by)
            for p in found
        ],
        empty="none",
    )  # fmt: skip


def rollout_body(report: RolloutReport) -> dict[str, Any]:
    """The rollout as JSON, months as text."""
    return {
        "states": [
            {
                "legal_entity": s.legal_entity,
                "contract_kind": s.contract_kind.value,
                "mode": s.mode.value,
                "contracts": s.contracts,
                "ready": s.ready,
                "sentence": s.sentence,
                "compared": [_compared_body(row) for row in s.compared],
            }
            for s in report.states
        ],
        "unassigned": [{"legal_entity": code} | _compared_body(row) for code, row in report.unassigned],
    }


def rollout(report: RolloutReport, *, by_contract: bool) -> None:
    """Where each entity and contract type are, and with `by_contract` how each contract's months compare."""
    print_table(
        "Rollout",
        ("entity", "contract type", "mode", "contracts", "may go live", "what is missing"),
        [
            (s.legal_entity, s.contract_kind.value, s.mode.value, s.contracts, "yes" if s.ready else "", s.sentence)
            for s in report.states
        ],
        empty="no contracts; extract master data first",
    )
    if by_contract:
        print_table(
            "Shadow plan and what was billed by hand",
            ("entity", "month", "contract", "currency", "planned", "by hand", "difference", "explained by"),
            [
                (s.legal_entity, str(r.month), r.contract_id, r.currency, r.planned, r.by_hand, r.difference,
                 EXPLANATIONS[r.explained_by])
                for s in report.states
                for r in s.compared
            ],
            empty="nothing is in shadow in a month that is over",
        )  # fmt: skip
    if report.unassigned:
        rows = [(code, str(r.month), r.by_hand_lines, r.by_hand, r.currency) for code, r in report.unassigned]
        columns = ("entity", "month", "lines", "by hand", "currency")
        print_table("Billed by hand on no contract that is known", columns, rows, empty="nothing")


def waiting_effects(found: Sequence[WaitingEffect]) -> None:
    """What waits for closed periods, with the choices that there are."""
    print_table(
        "Waiting for a closed period",
        ("object", "contract", "effect", "amount", "period", "since (UTC)", "chosen"),
        [
            (w.object_id, w.contract_id, w.effect_type.value,
             f"{w.amount:,} {w.currency}" if w.amount is not None else None,
             w.period if w.own_period else f"{w.period} (waits for the other side)", at(w.since),
             " ".join(str(part) for part in (w.choice, w.posting_date, w.chosen_by and f"by {w.chosen_by}") if part))
            for w in found
        ],
        empty="nothing",
    )  # fmt: skip
    if found:
        stdout.print(
            "Choose with `psa-erp periods choose OBJECT --effect EFFECT --choice CHOICE --reason WHY --by WHO`:\n"
            "  wait          until finance reopens the period\n"
            "  post_to_open  on a date in an open period (--date), with a reference to its own\n"
            "  by_hand       somebody has journaled it\n"
            "  cancel        it is not to be booked at all",
            highlight=False,
        )


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


def gate(found: Gate) -> None:
    """What the gate found, and how old what it says of the general ledger is."""
    rows = [
        (f.look.value, f.legal_entity, f.service_month, f.code, f.object_id, f.detail, f.next_step)
        for f in found.findings
    ]
    columns = ("look", "entity", "month", "what", "id", "detail", "next step")
    print_table("Gate", columns, rows, empty="everything is explained" if found.passed else "nothing was compared")
    ledger = (
        "has never been compared: no reporting run yet"
        if found.ledger_as_of is None
        else (f"was compared by the reporting run of {at(found.ledger_as_of)} (UTC)")
    )
    stdout.print(f"The general ledger {ledger}.", highlight=False)


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
    """The way of a piece of work as a timeline, and where it ended."""
    stdout.print(f"[bold]{found.entry_id}[/bold]")
    where = " ".join(part for part in (found.legal_entity, found.service_month, found.contract_id) if part)
    if where:
        stdout.print(f"Belongs to {where}." + (f" A credit of {found.of}." if found.of else ""), highlight=False)
    events = sorted(_timeline(found), key=lambda event: event[0])
    print_table(
        "Timeline", ("time (UTC)", "what", "detail"), [(at(when), *rest) for when, *rest in events], empty="none"
    )
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
    if found.invoices:
        invoices(found.invoices)
    print_table(
        "Open exceptions",
        ("code", "detail", "next step"),
        [(e.code, e.detail, e.next_step) for e in found.exceptions if e.resolved_at is None],
        empty="none",
    )


def invoices(found: Sequence[Invoice]) -> None:
    """Invoices of the ERP, and how far they are paid."""
    print_table(
        "Invoices",
        ("invoice", "company", "date", "state", "total", "paid", "open"),
        [
            (i.number or f"draft {i.erp_id}", i.erp_company, i.invoice_date, i.state, f"{i.total:,} {i.currency}",
             f"{i.paid:,}", f"{i.open_amount:,}")
            for i in found
        ],
        empty="none",
    )  # fmt: skip


def _timeline(found: Trace) -> Iterator[tuple[dt.datetime, str, str]]:
    for payload in found.payloads:
        yield payload.received_at, f"payload {payload.version} received", f"by {payload.arrived_by}"
    for r in found.revisions:
        work = hours(r.minutes) if r.minutes is not None else f"{r.amount:,} {r.currency}"
        billed = "" if r.billable is None else f", {'billable' if r.billable else 'not billable'}"
        yield r.recorded_at, f"revision {r.revision} is {r.state}", f"{work} on {r.service_date}{billed}"
    for decision in found.decisions:
        why = "; ".join(f"{r.effect_type}: {r.detail}" for r in decision.reasons)
        used = ", ".join(f"{name} {version}" for name, version in decision.versions.items())
        yield decision.decided_at, f"decided: {decision.outcome}", why or f"with {used}"
    for credit in found.credits:
        then = "billed again" if credit.rebill else "written off"
        yield credit.requested_at, "credited", f"{credit.minutes} minutes, {then}, by {credit.requested_by}"
    for choice in found.choices:
        yield choice.chosen_at, f"chosen: {choice.choice}", f"{choice.effect_type}, by {choice.chosen_by}"
    for item in found.plan_items:
        yield item.created_at, _plans_text(item), f"{item.action} {item.effect_type}: {item.reason}"
    for story in found.postings:
        for event in story.events:
            yield event.at, f"{story.leg} {story.effect_type}", _event_text(story, event.event, event.to_state)


def _plans_text(item: PlannedItem) -> str:
    stands = ", ".join(s if n == item.plans else f"{n} {s}" for s, n in sorted(item.statuses.items()))
    if item.plans == 1:
        return f"plan {item.first_plan} ({stands})"
    return f"plans {item.first_plan}–{item.last_plan} ({item.plans}: {stands})"


def _event_text(story: PostingStory, event: str, state: str) -> str:
    what = state if event == state else f"{event} → {state}"
    return f"{what} [{story.key[:8]}] {story.amount:,} {story.currency}"


def _compared_body(row: Compared) -> dict[str, Any]:
    return {
        "contract_id": row.contract_id,
        "service_month": str(row.month),
        "currency": row.currency,
        "planned": str(row.planned),
        "by_hand": str(row.by_hand),
        "difference": str(row.difference),
        "planned_minutes": row.planned_minutes,
        "by_hand_minutes": row.by_hand_minutes,
        "held": dict(row.held),
        "explained_by": row.explained_by.value,
    }


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


def at(moment: dt.datetime) -> str:
    """An instant in UTC, to the millisecond."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
