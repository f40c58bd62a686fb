"""Webhook deliveries from Clockify: what they point at."""

from typing import Any

import pytest

from psa_erp_assets.adapters.connectors.clockify.hints import SUBSCRIBED_EVENTS, Hint, HintKind, hints_of
from psa_erp_assets.domain.malformed import MalformedRecordError


@pytest.mark.parametrize(
    ("event", "hint"),
    [
        ("NEW_TIME_ENTRY", Hint(object_type="time_entry", object_id="x1", kind=HintKind.CREATED)),
        ("TIMER_STOPPED", Hint(object_type="time_entry", object_id="x1", kind=HintKind.UPDATED)),
        ("TIME_ENTRY_UPDATED", Hint(object_type="time_entry", object_id="x1", kind=HintKind.UPDATED)),
        ("TIME_ENTRY_DELETED", Hint(object_type="time_entry", object_id="x1", kind=HintKind.DELETED)),
        ("EXPENSE_CREATED", Hint(object_type="expense", object_id="x1", kind=HintKind.CREATED)),
        ("EXPENSE_UPDATED", Hint(object_type="expense", object_id="x1", kind=HintKind.UPDATED)),
        ("EXPENSE_DELETED", Hint(object_type="expense", object_id="x1", kind=HintKind.DELETED)),
        ("NEW_APPROVAL_REQUEST", Hint(object_type="approval_request", object_id="x1", kind=HintKind.CREATED)),
        (
            "APPROVAL_REQUEST_STATUS_UPDATED",
            Hint(object_type="approval_request", object_id="x1", kind=HintKind.UPDATED),
        ),
    ],
)
def test_a_delivery_points_at_its_object(event: str, hint: Hint) -> None:
    """A wrong pointer would refresh the wrong object and leave the right one stale until the next sweep."""
    assert event in SUBSCRIBED_EVENTS
    assert hints_of(event, {"id": "x1", "status": {"state": "APPROVED"}}) == [hint]


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ("NEW_PROJECT", HintKind.CREATED),
        ("PROJECT_UPDATED", HintKind.UPDATED),
        ("PROJECT_DELETED", HintKind.DELETED),
    ],
)
def test_an_event_of_a_project_is_heeded_though_none_is_asked_for(event: str, kind: HintKind) -> None:
    """A closed project would be billed on until the hour, although the PSA has said that it is closed."""
    assert event not in SUBSCRIBED_EVENTS, "ten are all that one user may have"
    assert hints_of(event, {"id": "p1", "archived": True}) == [Hint(object_type="project", object_id="p1", kind=kind)]


def test_a_delivery_about_several_objects_points_at_each() -> None:
    """Entries that are deleted in bulk may be announced together."""
    assert [h.object_id for h in hints_of("TIME_ENTRY_DELETED", [{"id": "x1"}, {"id": "x2"}])] == ["x1", "x2"]


def test_an_event_that_does_not_matter_points_at_nothing() -> None:
    """Someone may subscribe the same address to tags; that is no error."""
    assert hints_of("NEW_TAG", {"anything": 1}) == []


@pytest.mark.parametrize(
    "body", [None, "x", [], {}, {"id": None}, {"id": 5}, {"id": "../users"}, {"id": "a" * 65}, [1]]
)
def test_a_delivery_without_a_usable_id_is_malformed(body: Any) -> None:
    """An id goes into a URL: what does not look like one must not get there. An empty list points at nothing."""
    if body == []:
        assert hints_of("TIME_ENTRY_UPDATED", body) == []
        return
    with pytest.raises(MalformedRecordError):
        hints_of("TIME_ENTRY_UPDATED", body)
