"""What a delivery about Kantata points at.

Documentation: https://developer.kantata.com, tag "Events": Kantata sends no webhooks; its Subscribed Events are read,
may come twice and in another order than what they tell of. A relay sends them on (`relayed_hints`).

Its projects are not those on which time is recorded: they say which contract a milestone is of, and in what currency.
"""

from dataclasses import replace
from typing import Any

from psa_erp_assets.adapters.connectors import relayed_hints
from psa_erp_assets.adapters.connectors.clockify.hints import Hint

MILESTONE_PROJECT = "milestone_project"
_TYPES = {"milestone": "milestone", "project": MILESTONE_PROJECT}


def hints_of(event: str, body: Any) -> list[Hint]:
    """What to fetch after a delivery: milestones and their projects, and nothing for other objects.

    Raises MalformedRecordError for an event that matters whose object cannot be told.
    """
    hints = relayed_hints.hints_of(event, body)
    return [replace(hint, object_type=_TYPES[hint.object_type]) for hint in hints if hint.object_type in _TYPES]
