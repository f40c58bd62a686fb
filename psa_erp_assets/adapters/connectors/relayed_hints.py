"""What a delivery of any other source points at: another PSA, or a relay that speaks for a vendor without webhooks.

The event is "<object>.<what happened>", such as milestone.ready or project.status_changed, and the object's id stands
at `data.id`, as Standard Webhooks has it, or at `id`. Whoever runs the relay configures it so (docs/connecting.md).
"""

import re
from collections.abc import Mapping
from typing import Any

from psa_erp_assets.adapters.connectors.clockify.hints import Hint, HintKind
from psa_erp_assets.domain.malformed import MalformedRecordError

OBJECTS = ("time_entry", "expense", "approval_request", "milestone", "project", "contract", "customer")
_KINDS = {"created": HintKind.CREATED, "deleted": HintKind.DELETED}
_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")


def hints_of(event: str, body: Any) -> list[Hint]:
    """What to fetch after a delivery: nothing for an object that does not matter here.

    Raises MalformedRecordError for an event that matters whose object cannot be told.
    """
    found = []
    for item in body if isinstance(body, list) else [body]:
        if not isinstance(item, Mapping):
            raise MalformedRecordError("the delivery is not an object")
        named = item.get("type")
        object_type, _, what = (named if isinstance(named, str) else event).partition(".")
        if object_type not in OBJECTS:
            continue
        data = item.get("data")
        object_id = (data if isinstance(data, Mapping) else item).get("id")
        if not isinstance(object_id, str | int) or _ID.fullmatch(str(object_id)) is None:
            raise MalformedRecordError("the delivery names no object by its id")
        found.append(Hint(object_type=object_type, object_id=str(object_id), kind=_KINDS.get(what, HintKind.UPDATED)))
    return found
