"""How results are shown in Dagster: rows and amounts as metadata, tables as Markdown, links to the console."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import dagster as dg

from psa_erp_assets.domain.faults import FAULTS

if TYPE_CHECKING:
    import pandas as pd

    from psa_erp_assets.adapters.lake import Written
    from psa_erp_assets.services.planning import Plan
    from psa_erp_assets.services.posting_policy import EngineReport
    from psa_erp_assets.services.reconciliation import Minutes
    from psa_erp_assets.services.sync import Settled

# More make Dagster's dialog taller than a screen.
MOST_ROWS = 10
_LONGEST_CELL = 160

Metadata = dict[str, Any]


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> dg.MarkdownMetadataValue:
    """A Markdown table; a cell cannot break out of it, whatever a source system wrote."""
    lines = [" | ".join(headings), " | ".join("---" for _ in headings)]
    lines += [" | ".join(_cell(value) for value in row) for row in rows]
    return dg.MetadataValue.md("\n".join(f"| {line} |" for line in lines))


def rows_table(frame: "pd.DataFrame") -> dg.MarkdownMetadataValue:
    """The first rows of a frame."""
    return markdown_table([str(c) for c in frame.columns], frame.head(MOST_ROWS).itertuples(index=False, name=None))


def amounts_table(totals: Mapping[Any, Decimal], headings: Sequence[str]) -> dg.MarkdownMetadataValue:
    """Amounts by tuples of what `headings` name, the last of them the currency. Currencies are never added up."""
    rows = [(*key, f"{amount:,.2f}") for key, amount in sorted(totals.items())]
    return markdown_table([*headings, "amount"], rows)


def written(result: "Written", table: str) -> Metadata:
    """What a write left in a lake table."""
    return {
        "dagster/row_count": result.rows,
        "dagster/table_name": f"lake.{table}",
        "changed": result.changed,
    }


def amounts_of(frame: "pd.DataFrame", amount: str, currency: str) -> Metadata:
    """Totals of a money column by currency."""
    totals: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
    for value, code in zip(frame[amount], frame[currency], strict=True):
        if value is not None and code is not None:
            totals[(code,)] += value
    return {f"{amount}_by_currency": amounts_table(totals, ["currency"])}


def plan(made: "Plan") -> Metadata:
    """What a plan does, by action, and why entries are held."""
    holds: dict[str, int] = defaultdict(int)
    for total in made.totals:
        if total.code is not None:
            holds[total.code] += total.items
    actions = [(action, kind, count) for (action, kind), count in sorted(made.actions().items())]
    return {
        "plan": made.id,
        "contracts": _contracts(made.contracts),
        "waits_for_approval": ("; ".join(made.approval_reasons) if made.waits else "") or "no",
        "actions": markdown_table(["action", "effect", "items"], actions),
        "amounts": amounts_table(made.amounts(), ["action", "effect", "currency"]),
        "held": markdown_table(
            ["why", "items", "next step"],
            [(code, count, FAULTS[code].next_step) for code, count in sorted(holds.items())],
        ),
        "held_items": sum(holds.values()),
    }


def settled(done: "Settled") -> Metadata:
    """What was planned and sent for a partition in one go."""
    actions = [(action, kind, count) for (action, kind), count in sorted(done.actions.items())]
    return {
        "planned": markdown_table(["action", "effect", "items"], actions),
        **last_plan(done),
        **engine(done.engine),
    }


def last_plan(done: "Settled") -> Metadata:
    """The plan that was made last and what it was limited to; nothing where none had to be made."""
    if done.plan is None:
        return {}
    return {"contracts": _contracts(done.plan.contracts), "last_plan": done.plan.id}


def _contracts(contracts: Sequence[str | None] | None) -> str:
    return "all" if contracts is None else ", ".join(c or "none" for c in contracts)


def engine(reports: Sequence["EngineReport"]) -> Metadata:
    """What the posting engine did and what it left."""
    events: dict[str, int] = defaultdict(int)
    for report in reports:
        for event, count in report.events.items():
            events[event.value] += count
    last = reports[-1]
    return {
        "events": markdown_table(["event", "postings"], sorted((e, n) for e, n in events.items() if n)),
        "states": markdown_table(["state", "postings"], sorted((s.value, n) for s, n in last.states.items())),
        "requests": sum(report.requests for report in reports),
        "look_ups": sum(report.look_ups for report in reports),
        "under_way": last.under_way,
        "waiting_for_a_person": last.waiting_for_human,
        "paused": ", ".join(f"{company}: {why}" for company, why in sorted(last.paused.items())) or "nothing",
    }


def minutes(found: "Minutes") -> Metadata:
    """Where the approved minutes are."""
    return {
        "approved_minutes": found.approved,
        "billed_minutes": found.billed,
        "non_billable_minutes": found.non_billable,
        "held_minutes": found.held,
        "pending_minutes": found.pending,
    }


def console_link(console_url: str, path: str, **query: str) -> dg.UrlMetadataValue:
    """A page of the console."""
    return dg.MetadataValue.url(f"{console_url}{path}" + (f"?{urlencode(query)}" if query else ""))


def _cell(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else "" if value is None else str(value)
    text = " ".join(text.split())
    if len(text) > _LONGEST_CELL:
        text = text[: _LONGEST_CELL - 1] + "…"
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
