"""What a HubSpot webhook delivery points at.

Documentation: https://developers.hubspot.com/docs/api-reference/webhooks-webhooks-v3/guide, "Webhooks payloads": a
delivery is a list of up to 100 events, each with `subscriptionType`, such as deal.propertyChange, and `objectId`, a
number; the newer ones are object.propertyChange with `objectTypeId`. They come in no order, and again up to ten times.
"""

import re
from collections.abc import Mapping
from typing import Any

from psa_erp_assets.adapters.connectors.clockify.hints import Hint, HintKind
from psa_erp_assets.domain.malformed import MalformedRecordError

_TYPES = {"deal": "contract", "company": "customer", "0-3": "contract", "0-2": "customer"}
_KINDS = {"creation": HintKind.CREATED, "deletion": HintKind.DELETED}
_ID = re.compile(r"[0-9]{1,20}", re.ASCII)


def hints_of(body: Any) -> list[Hint]:
    """What to fetch after a delivery: deals as contracts, companies as customers, and nothing for other objects.

    Raises MalformedRecordError for an event that matters whose object cannot be told.
    """
    found = []
    for event in body if isinstance(body, list) else [body]:
        if not isinstance(event, Mapping):
            raise MalformedRecordError("an event is not an object")
        name, _, what = str(event.get("subscriptionType")).partition(".")
        object_type = _TYPES.get(str(event.get("objectTypeId")) if name == "object" else name)
        if object_type is None:
            continue
        object_id = str(event.get("objectId"))
        if _ID.fullmatch(object_id) is None:
            raise MalformedRecordError("objectId is not an id of HubSpot's")
        found.append(Hint(object_type=object_type, object_id=object_id, kind=_KINDS.get(what, HintKind.UPDATED)))
    return found
