"""What deliveries of the CRM and of relays point at."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.adapters.connectors import relayed_hints
from psa_erp_assets.adapters.connectors.clockify.hints import HintKind
from psa_erp_assets.adapters.connectors.hubspot import hints as hubspot
from psa_erp_assets.adapters.connectors.kantata import hints as kantata
from psa_erp_assets.domain.malformed import MalformedRecordError

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "data", "type", "subscriptionType", "objectId", "x"]), inner)
    ),
    max_leaves=8,
)


def test_each_event_of_a_crm_delivery_points_at_its_object() -> None:
    """A signed contract would be noticed in the night, and its hours be held until then."""
    events = [
        {"subscriptionType": "deal.propertyChange", "objectId": 7},
        {"subscriptionType": "object.creation", "objectTypeId": "0-3", "objectId": 8},
        {"subscriptionType": "company.deletion", "objectId": 9},
        {"subscriptionType": "contact.creation", "objectId": 10},
    ]
    assert [(h.object_type, h.object_id, h.kind) for h in hubspot.hints_of(events)] == [
        ("contract", "7", HintKind.UPDATED),
        ("contract", "8", HintKind.CREATED),
        ("customer", "9", HintKind.DELETED),
    ]


@pytest.mark.parametrize(
    ("event", "body", "found"),
    [
        ("milestone.ready", {"data": {"id": "90000001"}}, ("milestone", "90000001", HintKind.UPDATED)),
        ("project.status_changed", {"id": "p-1"}, ("project", "p-1", HintKind.UPDATED)),
        ("contract.updated", {"data": {"id": 77}}, ("contract", "77", HintKind.UPDATED)),
        ("several", {"type": "time_entry.deleted", "data": {"id": "e1"}}, ("time_entry", "e1", HintKind.DELETED)),
        ("expense.created", {"id": "x"}, ("expense", "x", HintKind.CREATED)),
        ("approval_request.updated", {"id": "a"}, ("approval_request", "a", HintKind.UPDATED)),
    ],
)
def test_a_relayed_event_points_at_its_object(event: str, body: Any, found: tuple[str, str, HintKind]) -> None:
    """What a PSA without webhooks of its own says through a relay would be lost."""
    [hint] = relayed_hints.hints_of(event, body)
    assert (hint.object_type, hint.object_id, hint.kind) == found


def test_kantatas_projects_are_not_those_of_time() -> None:
    """Its project would be looked for among those on which time is recorded, and its fees stay as they were."""
    [project] = kantata.hints_of("several", {"type": "project.status_changed", "data": {"id": "40000001"}})
    [milestone] = kantata.hints_of("milestone.ready", {"data": {"id": "70000001"}})
    assert (project.object_type, project.object_id) == (kantata.MILESTONE_PROJECT, "40000001")
    assert (milestone.object_type, milestone.object_id) == ("milestone", "70000001")
    assert kantata.hints_of("contract.updated", {"data": {"id": "1"}}) == [], "its contracts are the CRM's"


@pytest.mark.parametrize("object_id", [None, "", "../users", "a b", {}, 1.5, "x" * 65])
def test_an_id_that_could_lead_elsewhere_is_refused(object_id: object) -> None:
    """An id becomes a part of an address."""
    with pytest.raises(MalformedRecordError):
        relayed_hints.hints_of("milestone.ready", {"id": object_id})
    with pytest.raises(MalformedRecordError):
        hubspot.hints_of([{"subscriptionType": "deal.creation", "objectId": object_id}])


@given(event=st.text(max_size=10) | st.sampled_from(["project.x", "milestone.y"]), body=anything)
def test_nothing_that_was_kept_stops_the_worker(event: str, body: Any) -> None:
    """Another exception than this one would end the handling of all webhooks."""
    for read in (
        lambda: relayed_hints.hints_of(event, body),
        lambda: hubspot.hints_of(body),
        lambda: kantata.hints_of(event, body),
    ):
        try:
            read()
        except MalformedRecordError:
            continue
