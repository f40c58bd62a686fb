"""The trace of one piece of work: which spans it has, under which ids, and what they may say.

Every id follows from what the span is about, so that any process that writes a part of a trace writes it into the right
one, and a part that is written again takes its own place. One revision of an object is one trace; a posting is a span
of it. What belongs here: ids, sampling and the list of attributes. What does not: reading the store, and sending.
"""

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

ATTRIBUTES: Mapping[str, str] = {
    "psa_erp.object_id": "canonical id of the piece of work",
    "psa_erp.revision": "its revision",
    "psa_erp.source": "the system that it comes from",
    "psa_erp.arrived_by": "webhook, sweep, key_sweep or api",
    "psa_erp.copies": "how often the webhook has come",
    "psa_erp.outcome": "what was decided, or how an attempt ended",
    "psa_erp.fault_codes": "codes of what holds it or of what the ERP refused",
    "psa_erp.legal_entity": "code of the legal entity",
    "psa_erp.service_month": "month of the service date",
    "psa_erp.plan": "number of the plan",
    "psa_erp.posting": "key of the posting",
    "psa_erp.effect_type": "billing_line, cost_transaction and so on",
    "psa_erp.operation": "create or withdraw",
    "psa_erp.leg": "original, reversal or withdrawal",
    "psa_erp.erp_company": "the ERP's company",
    "psa_erp.attempt": "which attempt to send it",
}
"""All that a span may say. Text, names, amounts and payloads are not among it."""

STAGES = ("entry", "received", "fetched", "canonical", "decided", "posting", "planned", "sent", "verified")
"""The spans in the order of an entry's way. `entry` is the root, and `posting` the parent of the last three."""

Value = str | int | Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanId:
    """Where a span is: 16 and 8 bytes as numbers."""

    trace: int
    span: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One stage. `failed` marks what did not end well; `links` are spans of other traces that it goes back to."""

    name: str
    id: SpanId
    parent: SpanId | None
    began: dt.datetime
    ended: dt.datetime
    attributes: Mapping[str, Value] = field(default_factory=dict)
    failed: bool = False
    links: tuple[SpanId, ...] = ()

    def __post_init__(self) -> None:
        if self.name not in STAGES or not self.attributes.keys() <= ATTRIBUTES.keys():
            raise ValueError("a span has a name and attributes that are on the list")


def span_id(tenant: str, object_id: str, revision: int, *what: str) -> SpanId:
    """The id of a span of a revision's trace. `what` is its name and what tells it from others of that name."""
    trace = _number(16, tenant, object_id, str(revision))
    return SpanId(trace=trace, span=_number(8, f"{trace:032x}", *what))


def root_of(tenant: str, object_id: str, revision: int) -> SpanId:
    """The id of the trace's root."""
    return span_id(tenant, object_id, revision, "entry")


def posting_of(tenant: str, object_id: str, revision: int, key: str) -> SpanId:
    """The id of a posting's span."""
    return span_id(tenant, object_id, revision, "posting", key)


def is_sampled(tenant: str, object_id: str, revision: int, ratio: float) -> bool:
    """Whether a trace is among the share that is exported: the same in every process."""
    return (root_of(tenant, object_id, revision).trace & (2**64 - 1)) < ratio * 2**64


def _number(size: int, *parts: str) -> int:
    # No part holds a NUL: PostgreSQL does not store one. An id of nothing but zeros is invalid.
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:size]) or 1
