"""`/api/v1/mappings`: what the pages of mapping governance show and do, for programs."""

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Engine

from psa_erp_assets.adapters.store import mapping_proposals as proposal_rows
from psa_erp_assets.adapters.store import mapping_stories
from psa_erp_assets.console import mapping_values as values
from psa_erp_assets.console.access import Viewer, refuse_entity, requires
from psa_erp_assets.console.errors import Refusal
from psa_erp_assets.console.guarding import GuardedRoute
from psa_erp_assets.console.mapping_access import (
    refuse_decision,
    refuse_proposal,
    refuse_target,
    refuse_wish,
    seen_by,
)
from psa_erp_assets.console.reading import snapshot
from psa_erp_assets.domain.access import Actor, Permission
from psa_erp_assets.domain.links import CANONICAL
from psa_erp_assets.services import (
    mapping_decisions,
    mapping_effect,
    mapping_proposals,
    mapping_review,
    mapping_sources,
    ownership,
)
from psa_erp_assets.services.mapping_decisions import Outcome, PastDecision, Wish
from psa_erp_assets.services.mapping_effect import PlanEffect
from psa_erp_assets.services.mapping_proposals import MappingNotFoundError, MappingRefusedError, Proposal
from psa_erp_assets.services.mapping_review import Conflict, Orphan
from psa_erp_assets.services.ownership import DriftItem
from psa_erp_assets.services.scope import Scope

_MOST = 1_000
Steward = Annotated[Actor, Depends(requires(Permission.STEWARD))]
_Id = Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+$")]
_Reason = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$", examples=["Same person"])]
_Day = Annotated[dt.date, Field(examples=["2026-09-01"])]


class MappingRow(BaseModel):
    """Which id in which system stands for which canonical id, from when to when."""

    object_type: str
    system: str
    source_id: str
    canonical_id: str
    valid_from: dt.date
    valid_to: dt.date | None
    method: str
    decision_id: int | None


_From = Annotated[dt.date | None, Query(description="First day; the first that is synchronized if left out.")]
_To = Annotated[dt.date | None, Query(description="Last day; for good if left out.")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ProposalBody(_Body):
    """A mapping that somebody proposes."""

    object_type: values.ObjectTypeName
    system: Annotated[str, Field(pattern=r"^[a-z]{1,30}$", examples=["clockify"])]
    source_id: _Id
    canonical_id: _Id


class AcceptBody(_Body):
    """From which day to which (none: for good) a proposal is accepted."""

    valid_from: _Day
    valid_to: dt.date | None = None
    reason: _Reason


class ReasonBody(_Body):
    """Why."""

    reason: _Reason


class WishBody(_Body):
    """A split of source ids, or (without a system) a merge of canonical ones, that nobody has decided yet."""

    object_type: values.ObjectTypeName
    system: Annotated[str | None, Field(pattern=r"^[a-z]{1,30}$")] = None
    source_ids: Annotated[list[_Id], Field(min_length=1, max_length=100)]
    canonical_id: _Id
    valid_from: _Day
    valid_to: dt.date | None = None


class ChangeBody(WishBody):
    """A split or a merge, and why."""

    reason: _Reason


class Made(BaseModel):
    """The id of what was made."""

    id: int


def mappings_api_router(engine: Engine, scope: Scope, *, clock: Callable[[], dt.datetime]) -> APIRouter:
    """Routes under /api/v1/mappings."""
    router = APIRouter(
        prefix="/api/v1/mappings",
        tags=["mappings"],
        route_class=GuardedRoute,
        responses={
            403: {"model": Refusal, "description": "Not for you."},
            404: {"model": Refusal, "description": "No such proposal or decision."},
            409: {"model": Refusal, "description": "It cannot be; the detail says why."},
            422: {"model": Refusal, "description": "Something is not understood."},
            503: {"model": Refusal, "description": "The store cannot be reached."},
        },
    )
    _reading(router, engine, scope)
    _deciding(router, engine, scope, clock)
    return router


def _reading(router: APIRouter, engine: Engine, scope: Scope) -> None:
    @router.get("", summary="Mappings")
    def read_mappings(actor: Viewer, object_type: values.TypeFilter = "", q: values.Search = "") -> list[MappingRow]:
        """The first 1,000 mappings, those that stewards have decided first."""
        with snapshot(engine) as connection:
            rows = mapping_stories.listing(
                connection,
                scope.tenant,
                object_type=object_type or None,
                search=q,
                seen=seen_by(connection, scope, actor).ids,
                limit=_MOST,
            )
        return [MappingRow.model_validate({n: row[n] for n in MappingRow.model_fields}) for row in rows]

    @router.get("/proposals", summary="Proposals")
    def read_proposals(
        actor: Viewer,
        *,
        state: values.StateFilter = "proposed",
        object_type: values.TypeFilter = "",
        method: values.MethodFilter = "",
        q: values.Search = "",
    ) -> list[Proposal]:
        """The first 1,000 proposals of a state, the likeliest first."""
        with snapshot(engine) as connection:
            rows = proposal_rows.listing(
                connection,
                scope.tenant,
                state=state,
                object_type=object_type or None,
                method=method or None,
                search=q,
                seen=seen_by(connection, scope, actor).ids,
                limit=_MOST,
            )
        return [mapping_proposals.of_row(row) for row in rows]

    @router.get("/conflicts", summary="Conflicts")
    def read_conflicts(actor: Viewer) -> list[Conflict]:
        """Statements about mappings that contradict each other; for those who may view all legal entities."""
        refuse_entity(actor, Permission.VIEW, None)
        with snapshot(engine) as connection:
            return mapping_review.conflicts(mapping_sources.load(connection, scope))

    @router.get("/orphans", summary="Orphans")
    def read_orphans(actor: Viewer) -> list[Orphan]:
        """Records that map to nothing or that nothing refers to; for those who may view all legal entities."""
        refuse_entity(actor, Permission.VIEW, None)
        with snapshot(engine) as connection:
            return mapping_review.orphans(mapping_sources.load(connection, scope))

    @router.get("/drift", summary="Drift between systems")
    def read_drift(actor: Viewer) -> list[DriftItem]:
        """Fields of which two systems say different things: those of the first 1,000 that may be seen."""
        with snapshot(engine) as connection:
            seen = seen_by(connection, scope, actor)
            found = ownership.drift_report(connection, scope, limit=_MOST)
            return [item for item in found if seen.has(item.entity, item.canonical_id)]

    @router.get("/decisions", summary="Decisions")
    def read_decisions(actor: Viewer) -> list[PastDecision]:
        """What stewards have decided, the latest first: those of the latest 200 that may be seen."""
        with snapshot(engine) as connection:
            seen = seen_by(connection, scope, actor)
            found = mapping_decisions.past_decisions(connection, scope.tenant)
            return [decision for decision in found if seen.has(decision.object_type, decision.canonical_id)]


def _deciding(router: APIRouter, engine: Engine, scope: Scope, clock: Callable[[], dt.datetime]) -> None:
    @router.get("/proposals/{proposal_id}/effect", summary="What accepting would do")
    def read_effect(
        actor: Viewer, proposal_id: values.ProposalId, valid_from: _From = None, valid_to: _To = None
    ) -> PlanEffect:
        """What becomes of held work and of amounts by contract. It is tried out and taken back.

        Of other legal entities than those that the asker may see it says that something changes, not what.
        """
        refuse_proposal(engine, scope, actor, Permission.VIEW, proposal_id)
        with _refusals():
            with snapshot(engine) as connection:
                wish = mapping_decisions.wish_of(
                    connection,
                    scope.tenant,
                    proposal_id,
                    valid_from=valid_from or scope.first_day,
                    valid_to=valid_to,
                )
            return mapping_effect.effect_of(engine, scope, wish, now=clock(), entities=actor.entities(Permission.VIEW))

    @router.post("/proposals", status_code=201, summary="Propose a mapping")
    def propose(actor: Steward, body: ProposalBody) -> Made:
        """Somebody else decides about it."""
        refuse_target(engine, scope, actor, body.object_type, body.canonical_id)
        with _refusals():
            made = mapping_proposals.propose(engine, scope, **body.model_dump(), actor=actor, now=clock())
        return Made(id=made)

    @router.post("/proposals/{proposal_id}/accept", summary="Accept a proposal")
    def accept(actor: Steward, proposal_id: values.ProposalId, body: AcceptBody) -> Outcome:
        """Work that waited for it becomes due."""
        refuse_proposal(engine, scope, actor, Permission.STEWARD, proposal_id)
        with _refusals():
            return mapping_decisions.accept(engine, scope, proposal_id, actor=actor, **body.model_dump(), now=clock())

    @router.post("/proposals/{proposal_id}/reject", summary="Reject a proposal")
    def reject(actor: Steward, proposal_id: values.ProposalId, body: ReasonBody) -> Outcome:
        """The matcher does not propose it again."""
        refuse_proposal(engine, scope, actor, Permission.STEWARD, proposal_id)
        with _refusals():
            return mapping_decisions.reject(engine, scope, proposal_id, actor=actor, reason=body.reason, now=clock())

    @router.post("/effect", summary="What a split or a merge would do")
    def read_effect_of_change(actor: Steward, body: WishBody) -> PlanEffect:
        """As of a proposal: it is tried out and taken back, and nothing is decided."""
        with _refusals():
            split = body.system is not None
            wish = _wish(body, body.system or CANONICAL, mapping_stories.SPLIT if split else mapping_stories.MERGE)
            refuse_wish(engine, scope, actor, wish)
            return mapping_effect.effect_of(engine, scope, wish, now=clock(), entities=actor.entities(Permission.VIEW))

    @router.post("/split", summary="Split source ids off")
    def split(actor: Steward, body: ChangeBody) -> Outcome:
        """From a day on they stand for another canonical id, whatever their exact key says."""
        with _refusals():
            wish = _wish(body, body.system or "", mapping_stories.SPLIT)
            refuse_wish(engine, scope, actor, wish)
            return mapping_decisions.split(engine, scope, wish, actor=actor, reason=body.reason, now=clock())

    @router.post("/merge", summary="Merge canonical ids")
    def merge(actor: Steward, body: ChangeBody) -> Outcome:
        """From a day on one canonical id takes the place of others."""
        with _refusals():
            wish = _wish(body, CANONICAL, mapping_stories.MERGE)
            refuse_wish(engine, scope, actor, wish)
            return mapping_decisions.merge(engine, scope, wish, actor=actor, reason=body.reason, now=clock())

    @router.post("/decisions/{decision_id}/undo", summary="Undo a decision")
    def undo(actor: Steward, decision_id: values.DecisionId, body: ReasonBody) -> Outcome:
        """By a new decision; nothing is deleted."""
        refuse_decision(engine, scope, actor, decision_id)
        with _refusals():
            return mapping_decisions.undo(engine, scope, decision_id, actor=actor, reason=body.reason, now=clock())


def _wish(body: WishBody, system: str, method: str) -> Wish:
    return Wish(
        object_type=body.object_type,
        system=system,
        source_ids=tuple(dict.fromkeys(body.source_ids)),
        canonical_id=body.canonical_id,
        valid_from=body.valid_from,
        valid_to=body.valid_to,
        method=method,
    )


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except MappingNotFoundError as error:
        raise HTTPException(404, str(error)) from None
    except MappingRefusedError as error:
        raise HTTPException(409, str(error)) from None
