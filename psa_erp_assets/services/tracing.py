"""Traces of single pieces of work, made from what the store has kept of them: from webhook to verified posting.

Every stage is committed with its time, by whichever process did it. So the spans are read from there and exported by
one worker, and nothing that works on entries waits for a collector, carries a context along, or is slower for it. A
trace is complete even where a process died in the middle.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, RowMapping

from psa_erp_assets.adapters.store import trace_rows
from psa_erp_assets.domain.tracing import Span, SpanId, Value, is_sampled, posting_of, root_of, span_id

if TYPE_CHECKING:
    from psa_erp_assets.adapters.otlp import SpanSink

# A row's number is given before its transaction commits. After so long it has.
SETTLES = dt.timedelta(seconds=10)
_BATCH = 500
_MOST = 2_000

_Read = Callable[[Connection, str, int, dt.datetime, float], tuple[list[Span], int | None]]


def export(engine: Engine, sink: "SpanSink", tenant: str, *, now: dt.datetime, ratio: float = 1.0) -> int:
    """Export what has newly happened, at most some thousand rows; answers with how many spans that were.

    The first time only notes where things stand: history is not exported. What a collector does not take is exported
    again, under the same ids. `ratio` is the share of traces that are exported.
    """
    sent = 0
    for source, read in _SOURCES.items():
        for _ in range(_MOST // _BATCH):
            with engine.begin() as connection:
                after = trace_rows.position(connection, tenant, source)
                if after is None:
                    trace_rows.move(connection, tenant, source, trace_rows.newest(connection, source), now)
                    break
                spans, last = read(connection, tenant, after, now - SETTLES, ratio)
            if last is None or not sink.send(spans):
                break
            sent += len(spans)
            with engine.begin() as connection:
                trace_rows.move(connection, tenant, source, last, now)
    return sent


def _of_decisions(
    connection: Connection, tenant: str, after: int, before: dt.datetime, ratio: float
) -> tuple[list[Span], int | None]:
    rows = trace_rows.decisions(connection, tenant, after=after, before=before, limit=_BATCH)
    chosen = [row for row in rows if is_sampled(tenant, row["object_id"], row["revision"], ratio)]
    fetched = [row["received_at"] for row in chosen if row["arrived_by"] == "webhook"]
    announced: dict[tuple[str, dt.datetime], list[RowMapping]] = defaultdict(list)
    for delivery in trace_rows.deliveries_of(connection, tenant, fetched) if fetched else ():
        announced[delivery["source"], delivery["handled_at"]].append(delivery)
    spans: list[Span] = []
    for row in chosen:
        if row["is_first"]:
            spans += _arrival(tenant, row, _webhook_of(row, announced.get((row["source"], row["received_at"]), ())))
        spans.append(_decided(tenant, row))
    return spans, rows[-1]["id"] if rows else None


def _webhook_of(row: RowMapping, among: Sequence[RowMapping]) -> RowMapping | None:
    """The first webhook, of those that were handled when the object was fetched, that names it or its approval."""
    names = [name for name in (row["vendor_id"], row["request_id"]) if name]
    return next((d for d in among if any(f'"{name}"' in d["body"] for name in names)), None)


def _arrival(tenant: str, row: RowMapping, webhook: RowMapping | None) -> list[Span]:
    """The root of a revision's trace, and how the revision got here."""
    object_id, revision, decided = row["object_id"], row["revision"], row["decided_at"]
    root = root_of(tenant, object_id, revision)
    began = decided
    spans: list[Span] = []

    def add(name: str, start: dt.datetime, end: dt.datetime, **attributes: Value) -> None:
        own = span_id(tenant, object_id, revision, name)
        spans.append(Span(name=name, id=own, parent=root, began=start, ended=end, attributes=_named(attributes)))

    if row["received_at"] is not None:
        came, source = row["received_at"], row["source"]
        began = came
        if webhook is not None:
            began = webhook["received_at"]
            add("received", began, began, source=source, copies=webhook["copies"])
        add("fetched", began, came, source=source, arrived_by=row["arrived_by"])
        add("canonical", came, row["recorded_at"], source=source)
    before = (root_of(tenant, object_id, revision - 1),) if revision > 1 else ()
    about = _named({"object_id": object_id, "revision": revision})
    spans.append(Span(name="entry", id=root, parent=None, began=began, ended=decided, attributes=about, links=before))
    return spans


def _decided(tenant: str, row: RowMapping) -> Span:
    object_id, revision, body = row["object_id"], row["revision"], row["body"]
    codes = sorted({hold["code"] for hold in body.get("holds", ())})
    return Span(
        name="decided",
        id=span_id(tenant, object_id, revision, "decided", str(row["id"])),
        parent=root_of(tenant, object_id, revision),
        began=row["recorded_at"] if row["is_first"] and row["recorded_at"] is not None else row["decided_at"],
        ended=row["decided_at"],
        attributes=_named({"outcome": row["outcome"], "fault_codes": codes}),
    )


def _of_events(
    connection: Connection, tenant: str, after: int, before: dt.datetime, ratio: float
) -> tuple[list[Span], int | None]:
    rows = trace_rows.events(connection, tenant, after=after, before=before, limit=_BATCH)
    spans = [
        span
        for row in rows
        if is_sampled(tenant, row["object_id"], row["source_revision"], ratio)
        for span in _step(tenant, row)
    ]
    return spans, rows[-1]["id"] if rows else None


def _step(tenant: str, row: RowMapping) -> list[Span]:
    """What an event of a posting ends: its plan, an attempt, or all of it."""
    object_id, revision, event, at = row["object_id"], row["source_revision"], row["event"], row["at"]
    whole = posting_of(tenant, object_id, revision, row["key"])

    def part(name: str, began: dt.datetime | None, *, failed: bool = False, **attributes: Value) -> Span:
        own = span_id(tenant, object_id, revision, name, str(row["id"]))
        said = _named({"posting": row["key"], "erp_company": row["erp_company"]} | attributes)
        return Span(name=name, id=own, parent=whole, began=began or at, ended=at, attributes=said, failed=failed)

    if event == "added":
        if row["plan_id"] is None:
            return [part("planned", None)]
        return [part("planned", row["planned_at"], plan=int(row["plan_id"]))]
    if event in ("verified", "drifted"):
        failed = event == "drifted"
        verified = part("verified", row["confirmed_at"], failed=failed, outcome=event, attempt=row["fence"])
        return [verified, _posting(tenant, row, whole, failed=failed)]
    codes = [row["code"]] if row["code"] else []
    attempt = part(
        "sent", row["sent_at"], failed=event != "confirmed", outcome=event, attempt=row["fence"], fault_codes=codes
    )
    return [attempt]


def _posting(tenant: str, row: RowMapping, whole: SpanId, *, failed: bool) -> Span:
    object_id = row["object_id"]
    names = ("legal_entity", "service_month", "erp_company", "effect_type", "operation", "leg")
    back = row["target_revision"]
    return Span(
        name="posting",
        id=whole,
        parent=root_of(tenant, object_id, row["source_revision"]),
        began=row["created_at"],
        ended=row["at"],
        attributes=_named({"posting": row["key"], "object_id": object_id} | {name: row[name] for name in names}),
        failed=failed,
        links=() if back is None else (posting_of(tenant, object_id, back, row["target_key"]),),
    )


def _named(attributes: Mapping[str, Value]) -> dict[str, Value]:
    return {f"psa_erp.{name}": value for name, value in attributes.items()}


_SOURCES: Mapping[str, _Read] = {trace_rows.DECISIONS: _of_decisions, trace_rows.EVENTS: _of_events}
