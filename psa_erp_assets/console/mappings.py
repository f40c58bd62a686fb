"""Pages of mapping governance: lists, a proposal with its evidence and its effect on the plan, and the decisions."""

import datetime as dt
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment
from sqlalchemy import Connection, Engine

from psa_erp_assets.adapters.store import mapping_proposals as proposal_rows
from psa_erp_assets.adapters.store import mapping_stories
from psa_erp_assets.console import mapping_values as values
from psa_erp_assets.console.access import requires
from psa_erp_assets.console.guarding import FormRoute
from psa_erp_assets.console.mapping_access import (
    refuse_decision,
    refuse_proposal,
    refuse_target,
    refuse_wish,
    seen_by,
)
from psa_erp_assets.console.reading import snapshot
from psa_erp_assets.domain.access import Actor, Permission
from psa_erp_assets.domain.links import CANONICAL, LINK_KINDS
from psa_erp_assets.domain.matching import Named
from psa_erp_assets.services import (
    mapping_decisions,
    mapping_effect,
    mapping_matching,
    mapping_proposals,
    mapping_review,
    mapping_sources,
    ownership,
)
from psa_erp_assets.services.mapping_decisions import Wish
from psa_erp_assets.services.mapping_effect import PlanEffect
from psa_erp_assets.services.mapping_proposals import MappingNotFoundError, MappingRefusedError
from psa_erp_assets.services.scope import Scope
from psa_erp_assets.services.seen_records import SeenRecords
from psa_erp_assets.services.trace import NotFoundError

_PAGE = 50
Viewer = Annotated[Actor, Depends(requires(Permission.VIEW))]
Steward = Annotated[Actor, Depends(requires(Permission.STEWARD))]
Clock = Callable[[], dt.datetime]


def mappings_router(engine: Engine, environment: Environment, scope: Scope, *, clock: Clock) -> APIRouter:
    """Routes of /mappings."""
    router = APIRouter(
        prefix="/mappings", default_response_class=HTMLResponse, include_in_schema=False, route_class=FormRoute
    )
    _lists(router, engine, environment, scope)
    _proposals(router, engine, environment, scope, clock)
    _by_hand(router, engine, environment, scope, clock)
    _changes(router, engine, environment, scope, clock)
    return router


def _page(environment: Environment, template: str, status: int = 200, **given: Any) -> HTMLResponse:
    return HTMLResponse(environment.get_template(template).render(tabs=values.TABS, **given), status)


def _lists(router: APIRouter, engine: Engine, environment: Environment, scope: Scope) -> None:
    @router.get("")
    def mappings(
        *,
        actor: Viewer,
        tab: values.TabName = "proposals",
        state: values.StateFilter = "proposed",
        object_type: values.TypeFilter = "",
        method: values.MethodFilter = "",
        q: values.Search = "",
        page: values.PageIndex = 1,
    ) -> HTMLResponse:
        wanted = {"state": state, "type": object_type, "method": method, "q": q}
        with snapshot(engine) as connection:
            seen = seen_by(connection, scope, actor)
            rows, more = _rows(connection, scope, tab, wanted, page, seen=seen)
            counts = proposal_rows.counts(connection, scope.tenant, seen=seen.ids)
        kept = {"tab": tab, **{k: v for k, v in wanted.items() if v and (k, v) != ("state", "proposed")}}
        return _page(
            environment,
            "mappings.html",
            tab=tab,
            rows=rows,
            more=more,
            page=page,
            counts=counts,
            chosen=wanted,
            filtered=len(kept) > 1,
            page_link=f"/mappings?{urlencode(kept)}&",
            steward=actor.may(Permission.STEWARD),
            everything=seen.everything,
        )


def _rows(
    connection: Connection, scope: Scope, tab: str, wanted: dict[str, str], page: int, *, seen: SeenRecords
) -> tuple[list[Any], bool]:
    """A page of a list, and whether there is another one after it."""
    tenant, offset = scope.tenant, (page - 1) * _PAGE
    object_type, search = wanted["type"] or None, wanted["q"].strip()
    if tab == "proposals":
        found: list[Any] = [
            mapping_proposals.of_row(row)
            for row in proposal_rows.listing(
                connection,
                tenant,
                state=wanted["state"],
                object_type=object_type,
                method=wanted["method"] or None,
                search=search,
                seen=seen.ids,
                limit=_PAGE + 1,
                offset=offset,
            )
        ]
        return found[:_PAGE], len(found) > _PAGE
    if tab == "mappings":
        stored = mapping_stories.listing(
            connection,
            tenant,
            object_type=object_type,
            search=search,
            seen=seen.ids,
            limit=_PAGE + 1,
            offset=offset,
        )
        return list(stored[:_PAGE]), len(stored) > _PAGE
    if tab == "decisions":
        decisions = mapping_decisions.past_decisions(connection, tenant)
        found = [d for d in decisions if seen.has(d.object_type, d.canonical_id)]
    elif tab == "drift":
        drifts = ownership.drift_report(connection, scope, entity=object_type, search=search, limit=10_000)
        found = [d for d in drifts if seen.has(d.entity, d.canonical_id)]
    elif not seen.everything:
        # What contradicts itself or maps to nothing is of no legal entity yet.
        found = []
    else:
        records = mapping_sources.load(connection, scope)
        found = list(mapping_review.conflicts(records) if tab == "conflicts" else mapping_review.orphans(records))
    if tab in ("decisions", "conflicts") and object_type:
        found = [row for row in found if row.object_type == object_type]
    if tab == "orphans" and object_type:
        found = [row for row in found if object_type in row.what or (object_type, row.what) in _ORPHANS_OF]
    if search and tab != "drift":
        found = [row for row in found if search.casefold() in str(row).casefold()]
    return found[offset : offset + _PAGE], len(found) > offset + _PAGE


_ORPHANS_OF = {("employee", "PSA user"), ("customer", "ERP party"), ("contract", "project")}


def _proposals(router: APIRouter, engine: Engine, environment: Environment, scope: Scope, clock: Clock) -> None:
    def show(
        proposal_id: int, actor: Actor, *, first: str, last: str, problem: str = "", status: int = 200, why: str = ""
    ) -> HTMLResponse:
        with snapshot(engine) as connection:
            try:
                proposal = mapping_proposals.get(connection, scope.tenant, proposal_id)
            except MappingNotFoundError as error:
                raise NotFoundError(str(error)) from None
        effect: PlanEffect | None = None
        if proposal.state == "proposed" and not problem:
            try:
                valid_from = values.day(first) or scope.first_day
                wish = Wish(
                    object_type=proposal.object_type,
                    system=proposal.system,
                    source_ids=(proposal.source_id,),
                    canonical_id=proposal.canonical_id,
                    valid_from=valid_from,
                    valid_to=values.day(last),
                    method=proposal.method,
                )
                effect = mapping_effect.effect_of(
                    engine, scope, wish, now=clock(), entities=actor.entities(Permission.VIEW)
                )
            except MappingRefusedError as error:
                problem = _sentence(error)
            except ValueError:
                problem, status = "A day is written as 2026-09-01.", 422
        return _page(
            environment,
            "mapping_proposal.html",
            status,
            proposal=proposal,
            effect=effect,
            problem=problem,
            first=first or scope.first_day.isoformat(),
            last=last,
            why=why,
            steward=actor.may(Permission.STEWARD),
            may_decide=scope.governance.may_decide(proposal.object_type, actor.id),
            own=proposal.proposed_by == actor.id,
        )

    @router.get("/proposals/{proposal_id}")
    def proposal(
        actor: Viewer, proposal_id: values.ProposalId, first: values.DayAsked = "", last: values.DayAsked = ""
    ) -> HTMLResponse:
        refuse_proposal(engine, scope, actor, Permission.VIEW, proposal_id)
        return show(proposal_id, actor, first=first, last=last)

    @router.post("/proposals/{proposal_id}")
    def decide(
        actor: Steward,
        proposal_id: values.ProposalId,
        *,
        verdict: values.Typed,
        reason: values.Why = "",
        first: values.DayTyped = "",
        last: values.DayTyped = "",
    ) -> Response:
        refuse_proposal(engine, scope, actor, Permission.STEWARD, proposal_id)
        try:
            if verdict == "accept":
                mapping_decisions.accept(
                    engine,
                    scope,
                    proposal_id,
                    actor=actor,
                    valid_from=values.day(first) or scope.first_day,
                    valid_to=values.day(last),
                    reason=reason,
                    now=clock(),
                )
            else:
                mapping_decisions.reject(engine, scope, proposal_id, actor=actor, reason=reason, now=clock())
        except MappingNotFoundError as error:
            raise NotFoundError(str(error)) from None
        except MappingRefusedError as error:
            return show(proposal_id, actor, first=first, last=last, problem=_sentence(error), status=409, why=reason)
        except ValueError:
            told = "A day is written as 2026-09-01."
            return show(proposal_id, actor, first=first, last=last, problem=told, status=422, why=reason)
        return RedirectResponse(f"/mappings/proposals/{proposal_id}", 303)


def _by_hand(router: APIRouter, engine: Engine, environment: Environment, scope: Scope, clock: Clock) -> None:
    def form(actor: Actor, typed: dict[str, str], problem: str = "", status: int = 200) -> HTMLResponse:
        kind = LINK_KINDS.get((typed["kind"].partition("/")[0], typed["kind"].partition("/")[2]))
        sources: dict[str, Named] = {}
        canonicals: dict[str, Named] = {}
        if kind is not None:
            with snapshot(engine) as connection:
                seen = seen_by(connection, scope, actor, Permission.STEWARD)
                sources, canonicals = mapping_matching.named(mapping_sources.load(connection, scope), kind)
                if not seen.everything:
                    # A source's record is of no legal entity before it is mapped; whoever knows its id can type it.
                    sources = {}
                    canonicals = {i: one for i, one in canonicals.items() if seen.has(kind.object_type, i)}
        known = {"sources": list(sources.values()), "canonicals": list(canonicals.values())}
        return _page(
            environment, "mapping_new.html", status, kinds=values.KIND_NAMES, typed=typed, known=known, problem=problem
        )

    @router.get("/new")
    def ask(actor: Steward, kind: values.Search = "employee/clockify", source: values.Search = "") -> HTMLResponse:
        return form(actor, {"kind": kind, "source": source, "canonical": ""})

    @router.post("/new")
    def propose(actor: Steward, *, kind: values.Typed, source: values.Typed, canonical: values.Typed) -> Response:
        object_type, _, system = kind.partition("/")
        refuse_target(engine, scope, actor, object_type, canonical.strip())
        try:
            proposal_id = mapping_proposals.propose(
                engine,
                scope,
                object_type=object_type,
                system=system,
                source_id=source.strip(),
                canonical_id=canonical.strip(),
                actor=actor,
                now=clock(),
            )
        except MappingRefusedError as error:
            return form(actor, {"kind": kind, "source": source, "canonical": canonical}, _sentence(error), 409)
        return RedirectResponse(f"/mappings/proposals/{proposal_id}", 303)


def _changes(router: APIRouter, engine: Engine, environment: Environment, scope: Scope, clock: Clock) -> None:
    def form(actor: Actor, typed: dict[str, str], problem: str = "", status: int = 200) -> HTMLResponse:
        effect = None
        if typed["sources"] and typed["canonical"] and not problem:
            try:
                wish = _wish(typed, scope)
                refuse_wish(engine, scope, actor, wish)
                effect = mapping_effect.effect_of(
                    engine, scope, wish, now=clock(), entities=actor.entities(Permission.VIEW)
                )
            except (MappingRefusedError, ValueError) as error:
                problem = _sentence(error)
        return _page(
            environment,
            "mapping_change.html",
            status,
            kinds=values.MERGE_NAMES if typed["action"] == "merge" else values.KIND_NAMES,
            typed=typed,
            problem=problem,
            effect=effect,
        )

    @router.get("/change")
    def ask(
        actor: Steward,
        *,
        action: values.Search = "split",
        kind: values.Search = "",
        sources: values.IdsAsked = "",
        canonical: values.Search = "",
        first: values.DayAsked = "",
        last: values.DayAsked = "",
    ) -> HTMLResponse:
        names = values.MERGE_NAMES if action == "merge" else values.KIND_NAMES
        typed = {
            "action": "merge" if action == "merge" else "split",
            "kind": kind if kind in names else next(iter(names)),
            "sources": sources,
            "canonical": canonical.strip(),
            "first": first or clock().date().isoformat(),
            "last": last,
        }
        return form(actor, typed)

    @router.post("/change")
    def change(
        actor: Steward,
        *,
        action: values.Typed,
        kind: values.Typed,
        sources: values.Typed,
        canonical: values.Typed,
        first: values.DayTyped = "",
        last: values.DayTyped = "",
        reason: values.Why = "",
    ) -> Response:
        typed = {"action": action, "kind": kind, "sources": sources, "canonical": canonical.strip()}
        typed |= {"first": first, "last": last}
        try:
            made = mapping_decisions.merge if action == "merge" else mapping_decisions.split
            wish = _wish(typed, scope)
            refuse_wish(engine, scope, actor, wish)
            made(engine, scope, wish, actor=actor, reason=reason, now=clock())
        except (MappingRefusedError, ValueError) as error:
            return form(actor, typed, _sentence(error), 409)
        return RedirectResponse("/mappings?tab=decisions", 303)

    @router.post("/decisions/{decision_id}/undo")
    def undo(actor: Steward, decision_id: values.DecisionId, *, reason: values.Why = "") -> Response:
        refuse_decision(engine, scope, actor, decision_id)
        try:
            mapping_decisions.undo(engine, scope, decision_id, actor=actor, reason=reason, now=clock())
        except MappingNotFoundError as error:
            raise NotFoundError(str(error)) from None
        except MappingRefusedError as error:
            link = f"/mappings?{urlencode({'tab': 'decisions'})}"
            return _page(environment, "mapping_refused.html", 409, problem=_sentence(error), back=link)
        return RedirectResponse("/mappings?tab=decisions", 303)


def _wish(typed: dict[str, str], scope: Scope) -> Wish:
    object_type, _, system = typed["kind"].partition("/")
    return Wish(
        object_type=object_type,
        system=CANONICAL if typed["action"] == "merge" else system,
        source_ids=values.ids(typed["sources"]),
        canonical_id=typed["canonical"],
        valid_from=values.day(typed["first"]) or scope.first_day,
        valid_to=values.day(typed["last"]),
        method=mapping_stories.MERGE if typed["action"] == "merge" else mapping_stories.SPLIT,
    )


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
