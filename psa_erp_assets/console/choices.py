"""What people decide beside the plans: the queue of closed periods, and how far the rollout goes."""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, HTTPException, Query
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from sqlalchemy import Engine

from psa_erp_assets.console.access import Viewer, refuse_entity, requires
from psa_erp_assets.console.bench import Answer, Bench
from psa_erp_assets.console.errors import Problem, Refusal
from psa_erp_assets.console.guarding import FormRoute, GuardedRoute
from psa_erp_assets.console.reading import EntityCode
from psa_erp_assets.domain.access import Actor, Permission
from psa_erp_assets.domain.closed_periods import Choice
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.shadow import EXPLANATIONS
from psa_erp_assets.services import period_choices
from psa_erp_assets.services.period_choices import ChoiceRefusedError, WaitingEffect
from psa_erp_assets.services.rollout import RolloutReport, RolloutState, rollout_report
from psa_erp_assets.services.scope import Scope
from psa_erp_assets.services.trace import NotFoundError

Operator = Annotated[Actor, Depends(requires(Permission.OPERATE))]
ObjectId = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,300}$")]
Reason = Annotated[str, Field(min_length=1, max_length=2_000)]
Anew = Annotated[bool, Query(description="Compute it again instead of showing what was computed lately.")]
Said = Annotated[str, Query(pattern=r"^[a-z_]{0,30}$")]
_DAY = BeforeValidator(lambda value: None if value == "" else value)
_CHOICES, _ROLLOUT = "choices", "rollout"
_RESPONSES: dict[int | str, dict[str, Any]] = {
    401: {"model": Refusal, "description": "Nobody has signed in, and no token was sent."},
    403: {"model": Refusal, "description": "The account may not do this."},
    404: {"model": Refusal, "description": "Nothing of the kind is there."},
    409: {"model": Refusal, "description": "It cannot be done as things stand; the detail says why."},
    413: {"model": Refusal, "description": "The body is too large."},
    415: {"model": Refusal, "description": "The body is no JSON."},
    422: {"model": Problem, "description": "Something in the request is not understood."},
    503: {"model": Refusal, "description": "It is still being computed; ask again, or the store cannot be reached."},
}


class ChoiceBody(BaseModel):
    """A choice for one effect. `posting_date` is for post_to_open alone."""

    model_config = ConfigDict(extra="forbid")

    object_id: ObjectId
    effect_type: EffectType
    choice: Choice
    posting_date: dt.date | None = None
    reason: Reason


class Queue:
    """The queue and the rollout, as far as somebody may see them; computed on a bench, as both decide anew."""

    def __init__(self, engine: Engine, scope: Scope, clock: Callable[[], dt.datetime]) -> None:
        self._engine, self._scope, self._clock = engine, scope, clock
        self._bench = Bench(clock)

    def waiting(self, *, anew: bool = False) -> Answer:
        """Everything that waits for a closed period."""
        return self._bench.ask(_CHOICES, lambda _: period_choices.waiting_effects(self._engine, self._scope), anew=anew)

    def rollout(self, *, anew: bool = False) -> Answer:
        """How far each legal entity and contract type are."""
        today = self._clock().date()
        return self._bench.ask(_ROLLOUT, lambda _: rollout_report(self._engine, self._scope, today=today), anew=anew)

    def choose(self, actor: Actor, body: ChoiceBody) -> WaitingEffect:
        """Keep a choice. Raises HTTPException 403 and 409, NotFoundError."""
        waiting = period_choices.waiting_effects(self._engine, self._scope, body.object_id)
        found = next((w for w in waiting if w.effect_type is body.effect_type), None)
        if found is None:
            raise NotFoundError(f"no {body.effect_type.value} of {body.object_id} waits for a closed period")
        refuse_entity(actor, Permission.OPERATE, found.legal_entity)
        with _refusals():
            period_choices.choose(
                self._engine,
                self._scope,
                body.object_id,
                effect_type=body.effect_type,
                choice=body.choice,
                posting_date=body.posting_date,
                reason=body.reason,
                chosen_by=actor.id,
                now=self._clock(),
            )
        after = period_choices.waiting_effects(self._engine, self._scope, body.object_id)
        return next((w for w in after if w.effect_type is body.effect_type), found)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except ChoiceRefusedError as error:
        text = str(error)
        raise HTTPException(409, f"{text[:1].upper()}{text[1:]}.") from error


def choices_router(
    engine: Engine, environment: Environment, scope: Scope, *, clock: Callable[[], dt.datetime]
) -> APIRouter:
    """The pages /choices and /rollout. They are left out of the API's description."""
    router = APIRouter(default_response_class=HTMLResponse, include_in_schema=False, route_class=FormRoute)
    queue = Queue(engine, scope, clock)

    def render(template: str, **values: Any) -> HTMLResponse:
        return HTMLResponse(environment.get_template(template).render(values))

    @router.get("/choices")
    def choices(actor: Viewer, entity: EntityCode = "", anew: Anew = False, said: Said = "") -> HTMLResponse:
        answer = queue.waiting(anew=anew or bool(said))
        mine = [] if answer.value is None else visible_effects(answer.value, actor)
        return render(
            "choices.html",
            answer=answer,
            waiting=[w for w in mine if entity in ("", w.legal_entity)],
            entity=entity,
            legal_entities=sorted({w.legal_entity for w in mine}),
            choices=list(Choice),
            may_choose={w.legal_entity: actor.may(Permission.OPERATE, w.legal_entity) for w in mine},
            said=said,
        )

    @router.post("/choices")
    def choose(  # noqa: PLR0917 - FastAPI reads the form into them by name
        actor: Operator,
        object_id: Annotated[str, Form(pattern=r"^[^\x00-\x1f\x7f]{1,300}$")],
        effect_type: Annotated[EffectType, Form()],
        choice: Annotated[Choice, Form()],
        reason: Annotated[str, Form(max_length=2_000)],
        posting_date: Annotated[dt.date | None, _DAY, Form()] = None,
    ) -> RedirectResponse:
        if not reason.strip():
            raise HTTPException(422, "Say why: a choice needs a reason.")
        body = ChoiceBody(
            object_id=object_id,
            effect_type=effect_type,
            choice=choice,
            posting_date=posting_date if choice is Choice.POST_TO_OPEN else None,
            reason=reason.strip(),
        )
        queue.choose(actor, body)
        return RedirectResponse(f"/choices?{urlencode({'said': choice.value})}", status_code=303)

    @router.get("/rollout")
    def rollout(actor: Viewer, anew: Anew = False) -> HTMLResponse:
        answer = queue.rollout(anew=anew)
        report = None if answer.value is None else visible_report(answer.value, actor)
        return render("rollout.html", answer=answer, report=report, explanations=EXPLANATIONS)

    return router


def choices_api_router(engine: Engine, scope: Scope, *, clock: Callable[[], dt.datetime]) -> APIRouter:
    """Routes /api/v1/choices and /api/v1/rollout."""
    router = APIRouter(prefix="/api/v1", tags=["plans"], route_class=GuardedRoute, responses=_RESPONSES)
    queue = Queue(engine, scope, clock)

    @router.get("/choices", summary="What waits for a closed period")
    def read_choices(actor: Viewer, anew: Anew = True) -> list[WaitingEffect]:
        """The longest waiting first, each with what was chosen for it so far. 503 while it is being computed."""
        return visible_effects(computed(queue.waiting(anew=anew)), actor)

    @router.post("/choices", status_code=201, summary="Say what becomes of an effect")
    def choose(actor: Operator, body: ChoiceBody) -> WaitingEffect:
        """The next sync carries it out; the latest choice holds."""
        return queue.choose(actor, body)

    @router.get("/rollout", summary="How far the rollout is")
    def read_rollout(actor: Viewer, anew: Anew = False) -> list[RolloutRow]:
        """By legal entity and contract type: off, in shadow or live, and what is missing until they go live."""
        report = visible_report(computed(queue.rollout(anew=anew)), actor)
        return [RolloutRow.of(state) for state in report.states]

    return router


class ComparedRow(BaseModel):
    """A contract's month: what would be billed, and what people billed by hand."""

    contract_id: str | None
    service_month: str
    currency: str
    planned: str
    by_hand: str
    difference: str
    explained_by: str


class RolloutRow(BaseModel):
    """Where a legal entity's contracts of one type are."""

    legal_entity: str
    contract_kind: str
    mode: str
    contracts: int
    ready: bool
    sentence: str
    compared: list[ComparedRow]

    @classmethod
    def of(cls, state: RolloutState) -> "RolloutRow":
        """The state with months and amounts as texts."""
        return cls(
            legal_entity=state.legal_entity,
            contract_kind=state.contract_kind.value,
            mode=state.mode.value,
            contracts=state.contracts,
            ready=state.ready,
            sentence=state.sentence,
            compared=[
                ComparedRow(
                    contract_id=row.contract_id,
                    service_month=str(row.month),
                    currency=row.currency,
                    planned=str(row.planned),
                    by_hand=str(row.by_hand),
                    difference=str(row.difference),
                    explained_by=EXPLANATIONS[row.explained_by],
                )
                for row in state.compared
            ],
        )


def computed(answer: Answer) -> Any:
    """The result of a bench. Raises HTTPException 503 while there is none."""
    if answer.value is None:
        detail = "It could not be computed; the server's log has the details." if answer.failed else "Still computing."
        raise HTTPException(503, detail, {"Retry-After": "5"})
    return answer.value


def visible_effects(waiting: Sequence[WaitingEffect], actor: Actor) -> list[WaitingEffect]:
    """What of the queue somebody may see."""
    mine = actor.entities(Permission.VIEW)
    return [w for w in waiting if mine is None or w.legal_entity in mine]


def visible_report(report: RolloutReport, actor: Actor) -> RolloutReport:
    """What of the rollout somebody may see."""
    mine = actor.entities(Permission.VIEW)
    return RolloutReport(
        states=tuple(s for s in report.states if mine is None or s.legal_entity in mine),
        unassigned=tuple((code, row) for code, row in report.unassigned if mine is None or code in mine),
    )
