"""What a webhook delivery points at.

Documentation: "Webhooks", https://dev-docs.marketplace.cake.com/documentation/build/manifest/webhooks.html: the
event types, and the header that names a delivery's. Deliveries come twice, late, out of order or not at all, so a
delivery is never a fact: it says which object to fetch again.
"""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psa_erp_assets.adapters.connectors.reading import text
from psa_erp_assets.domain.malformed import MalformedRecordError


class HintKind(enum.StrEnum):
    """What is said to have happened."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """Fetch this object again. `object_type` is time_entry, expense, approval_request or project; `object_id` is
    Clockify's.
    """

    object_type: str
    object_id: str
    kind: HintKind


_MEANING = {
    "NEW_TIME_ENTRY": ("time_entry", HintKind.CREATED),
    "NEW_TIMER_STARTED": ("time_entry", HintKind.CREATED),
    "TIMER_STOPPED": ("time_entry", HintKind.UPDATED),
    "TIME_ENTRY_UPDATED": ("time_entry", HintKind.UPDATED),
    "TIME_ENTRY_DELETED": ("time_entry", HintKind.DELETED),
    "EXPENSE_CREATED": ("expense", HintKind.CREATED),
    "EXPENSE_UPDATED": ("expense", HintKind.UPDATED),
    "EXPENSE_DELETED": ("expense", HintKind.DELETED),
    "NEW_APPROVAL_REQUEST": ("approval_request", HintKind.CREATED),
    "APPROVAL_REQUEST_STATUS_UPDATED": ("approval_request", HintKind.UPDATED),
}

# Not every workspace can announce changes of projects, and a user's webhooks are used up without them. Where somebody
# has registered them they are heeded; else the hourly reading of all projects finds what has changed.
_OF_PROJECTS = {
    "NEW_PROJECT": ("project", HintKind.CREATED),
    "PROJECT_UPDATED": ("project", HintKind.UPDATED),
    "PROJECT_DELETED": ("project", HintKind.DELETED),
}

_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")

SUBSCRIBED_EVENTS = tuple(_MEANING)
"""The event types to register webhooks for: ten, which is as many as one user may have."""


def hints_of(event_type: str, body: Any) -> list[Hint]:
    """What to fetch after a delivery: nothing for an event type that does not matter here.

    `body` is the parsed delivery: one object, or a list of them where several were changed at once. Raises
    MalformedRecordError for an event that matters whose object cannot be told.
    """
    meaning = _MEANING.get(event_type) or _OF_PROJECTS.get(event_type)
    if meaning is None:
        return []
    object_type, kind = meaning
    items = body if isinstance(body, list) else [body]
    if not all(isinstance(item, Mapping) for item in items):
        raise MalformedRecordError("the delivery is not an object")
    return [Hint(object_type=object_type, object_id=_object_id(item), kind=kind) for item in items]


def _object_id(item: Mapping[str, Any]) -> str:
    object_id = text(item, "id")
    if _ID.fullmatch(object_id) is None:
        raise MalformedRecordError("id is not an id of Clockify's")
    return object_id
