"""What the log says: every event with its fields. What is not on this list is not written.

Counts, codes, states, names of systems and ids that a machine gave are on it. Text that people wrote, names of people,
amounts, payloads and secrets are not, and no field could hold them: each has a type, and texts a form.
"""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass


class LogEvent(enum.StrEnum):
    """What happened."""

    MESSAGE = "message"
    DELIVERIES_HANDLED = "deliveries_handled"
    SWEEP_DONE = "sweep_done"
    PLAN_APPLIED = "plan_applied"
    PLAN_WAITS = "plan_waits"
    POSTINGS_SENT = "postings_sent"
    RECONCILED = "reconciled"
    NOTIFICATION_SENT = "notification_sent"
    NOTIFICATION_NOT_TAKEN = "notification_not_taken"
    SPANS_EXPORTED = "spans_exported"
    WORKER_DIED = "worker_died"


FIELDS: Mapping[str, tuple[type[int] | type[float] | type[str] | type[bool], str]] = {
    "attempts": (int, "calls that could change the ERP"),
    "channel": (str, "email or webhook"),
    "complete": (bool, "whether all was read, with a look for deletes"),
    "confirmed": (int, "postings that the ERP accepted"),
    "drifted": (int, "postings that the ERP holds otherwise than they were sent"),
    "entries": (int, "entries compared"),
    "error": (str, "class of an exception, never its text"),
    "failed": (int, "that failed and wait to be tried again"),
    "fetched": (int, "objects read"),
    "handled": (int, "webhooks worked off"),
    "legal_entity": (str, "code of a legal entity"),
    "logger": (str, "module that a message is from"),
    "malformed": (int, "objects that could not be understood"),
    "messages": (int, "events in a message"),
    "new_versions": (int, "payload versions that are new"),
    "plan": (int, "number of a plan"),
    "rejected": (int, "postings that the ERP refused"),
    "revised": (int, "objects that have changed"),
    "route": (str, "route of notifications.yaml"),
    "seconds": (float, "how long it took"),
    "service_month": (str, "month, as 2026-09"),
    "source": (str, "system that was read"),
    "spans": (int, "spans that a collector took"),
    "text": (str, "message of one of this project's modules"),
    "under_way": (int, "postings that will still move on"),
    "unexplained": (int, "differences that nothing explains"),
    "verified": (int, "postings read back as they were sent"),
    "where": (str, "places in the code, innermost last"),
    "worker": (str, "background worker"),
}
"""Type and meaning of each field."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What an event means and which fields it has."""

    meaning: str
    fields: tuple[str, ...]


VOCABULARY: Mapping[LogEvent, Entry] = {
    LogEvent.MESSAGE: Entry(
        "Something that a module or a library says; of a library only who, where and which exception.",
        ("logger", "text", "error", "where"),
    ),
    LogEvent.DELIVERIES_HANDLED: Entry("Webhooks were worked off.", ("handled", "failed", "revised", "seconds")),
    LogEvent.SWEEP_DONE: Entry(
        "A source was read.", ("source", "complete", "fetched", "new_versions", "revised", "malformed", "seconds")
    ),
    LogEvent.PLAN_APPLIED: Entry("A plan was made and applied.", ("plan", "legal_entity", "service_month", "seconds")),
    LogEvent.PLAN_WAITS: Entry("A plan was made and waits for an approval.", ("plan", "legal_entity", "service_month")),
    LogEvent.POSTINGS_SENT: Entry(
        "A run of the posting engine ended.",
        ("legal_entity", "service_month", "attempts", "confirmed", "verified", "rejected", "drifted", "under_way",
         "seconds"),
    ),
    LogEvent.RECONCILED: Entry(
        "A partition was compared with the ERP.", ("legal_entity", "service_month", "entries", "unexplained")
    ),
    LogEvent.NOTIFICATION_SENT: Entry("A message was taken.", ("route", "channel", "messages")),
    LogEvent.NOTIFICATION_NOT_TAKEN: Entry("A message was not taken; it is tried again.", ("route", "channel")),
    LogEvent.SPANS_EXPORTED: Entry("Traces were exported.", ("spans",)),
    LogEvent.WORKER_DIED: Entry("A background worker ended that nobody asked to stop.", ("worker", "error", "where")),
}  # fmt: skip
"""Every event with its fields."""

_TOKEN = re.compile(r"[\w.:/@<>-]{1,200}")
_PLACES = re.compile(rf"{_TOKEN.pattern}(?: {_TOKEN.pattern})*")


def allowed(event: str, fields: Mapping[str, object]) -> dict[str, int | float | str | bool]:
    """The fields that the event may have, and that have the type that the list says; all others are left out."""
    entry = VOCABULARY.get(LogEvent(event)) if event in set(LogEvent) else None
    kept: dict[str, int | float | str | bool] = {}
    for name in entry.fields if entry is not None else ():
        value, kind = fields.get(name), FIELDS[name][0]
        if isinstance(value, bool):
            if kind is bool:
                kept[name] = value
        elif isinstance(value, int | float) and kind in (int, float):
            kept[name] = value
        elif isinstance(value, str) and kind is str and _fits(name, value):
            kept[name] = str(value)
    return kept


def _fits(name: str, value: str) -> bool:
    # What people write has spaces in it; a code has none.
    form = _PLACES if name == "where" else _TOKEN
    return name == "text" or form.fullmatch(value) is not None
