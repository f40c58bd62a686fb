"""Milestones of fixed fees, from the second PSA: all, or those that a webhook points at.

Its answer that a single one is not there proves nothing, so only the reading of all finds what was deleted.
"""

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Engine

from psa_erp_assets.adapters.connectors.kantata.client import KantataClient
from psa_erp_assets.adapters.store import cursors, inbox
from psa_erp_assets.services import revisions
from psa_erp_assets.services.revisions import KANTATA, MILESTONE, Received
from psa_erp_assets.services.scope import Scope

_CURSOR = "milestones"
# What makes a milestone; the rest, such as when somebody last looked at it, would make a version of every touch.
_STORY = (
    *("id", "story_type", "title", "workspace_id", "state", "due_date", "fixed_fee", "billable"),
    *("budget_estimate_in_cents", "archived", "deleted_at"),
)
_WORKSPACE = ("id", "title", "currency", "currency_base_unit")


def sweep(engine: Engine, psa: KantataClient, scope: Scope, *, now: dt.datetime) -> Received:
    """Read all milestones; one that was seen before and is not among them any more is deleted.

    Raises a SourceError; nothing is stored then.
    """
    # Stories first, so that the project of one that was made in between is known.
    stories = {str(story["id"]): story for story in psa.milestones()}
    workspaces = {str(workspace["id"]): workspace for workspace in psa.workspaces()}
    with engine.begin() as connection:
        inbox.lock(connection, tenant=scope.tenant, source=KANTATA)
        known = inbox.latest(connection, tenant=scope.tenant, source=KANTATA, object_type=MILESTONE)
        payloads = {story_id: _payload(story, workspaces) for story_id, story in stories.items()}
        payloads |= {
            story_id: _gone(payload, now)
            for story_id, payload in known.items()
            if story_id not in stories and not payload["story"].get("deleted_at")
        }
        cursors.put(connection, tenant=scope.tenant, source=KANTATA, name=_CURSOR, value=now.isoformat(), now=now)
        return revisions.receive(
            connection,
            revisions.MILESTONES,
            scope=scope,
            payloads=[inbox.Payload(object_id=i, body=body) for i, body in payloads.items()],
            arrived_by="key_sweep",
            now=now,
        )


def fetch_hinted(
    engine: Engine, psa: KantataClient, scope: Scope, ids: Collection[str], *, now: dt.datetime
) -> Received:
    """Read again just these milestones, which a webhook pointed at.

    One that is known and not shown makes it a reading of all: that it is gone only a complete list can say. Raises a
    SourceError; nothing is stored then.
    """
    stories = {str(story["id"]): story for story in psa.milestones(ids)}
    hidden = [i for i in ids if i not in stories]
    if hidden and _are_known(engine, scope, hidden):
        return sweep(engine, psa, scope, now=now)
    workspaces = {str(workspace["id"]): workspace for workspace in psa.workspaces()} if stories else {}
    with engine.begin() as connection:
        inbox.lock(connection, tenant=scope.tenant, source=KANTATA)
        return revisions.receive(
            connection,
            revisions.MILESTONES,
            scope=scope,
            payloads=[
                inbox.Payload(object_id=i, body=_payload(story, workspaces)) for i, story in stories.items() if i in ids
            ],
            arrived_by="webhook",
            now=now,
        )


def _are_known(engine: Engine, scope: Scope, ids: Collection[str]) -> bool:
    """Whether one of these was seen before and is not known to be deleted."""
    with engine.connect() as connection:
        known = inbox.latest(
            connection, tenant=scope.tenant, source=KANTATA, object_type=MILESTONE, object_ids=ids
        ).values()
    return any(not payload["story"].get("deleted_at") for payload in known)


def _payload(story: Mapping[str, Any], workspaces: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    workspace = workspaces.get(str(story["workspace_id"]), {})
    return {
        "story": {name: story[name] for name in _STORY if name in story},
        "workspace": {name: workspace[name] for name in _WORKSPACE if name in workspace},
    }


def _gone(payload: Mapping[str, Any], now: dt.datetime) -> dict[str, Any]:
    return {**payload, "story": {**payload["story"], "deleted_at": now.isoformat()}}
