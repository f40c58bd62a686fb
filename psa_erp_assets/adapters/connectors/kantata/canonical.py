"""From Kantata's records to facts. Pure: no I/O, no clock.

Documentation: "Kantata OX API", https://developer.kantata.com, schema Story (state, fixed_fee,
budget_estimate_in_cents, deleted_at) and request of "Updating an existing Story"; http://developer.mavenlink.com, pages
"Stories (Tasks)" and "Workspaces (Projects)" (currency, currency_base_unit).

Kantata has no field for what a contract and its billing need, so three conventions hold in the account:

- A project's title begins with the code of its contract, "CTR-0041 Data platform", and with that of a component where
  the contract has several: "CTR-0041/design Data platform". Without one it is the component "main".
- A fee is the budget of a milestone that is billable and fixed fee. Other milestones mark progress and bill nothing.
- Whoever completes a milestone sets its due date to the day on which the customer accepted it: Kantata itself knows
  only when somebody pressed the button. Before, the due date is the planned one.

Every function raises MalformedRecordError for a record that it cannot understand.
"""

import re
from collections.abc import Mapping
from decimal import Decimal

from psa_erp_assets.adapters.connectors.reading import Record, currency, date, flag, optional_text, text
from psa_erp_assets.domain.facts import MilestoneFacts
from psa_erp_assets.domain.malformed import MalformedRecordError
from psa_erp_assets.domain.money import Money, divide
from psa_erp_assets.domain.records import ApprovalState
from psa_erp_assets.domain.terms import MAIN

WORKSPACE_TITLE = re.compile(r"(?P<contract>[A-Z]+-[0-9]+)(/(?P<component>[a-z0-9_-]+))?(?=[\s:–-]|$)")
"""How a project's title begins: "CTR-0041 Data platform" or "CTR-0041/design Data platform"."""

STATES: Mapping[str, ApprovalState] = {
    "not started": ApprovalState.DRAFT,
    "started": ApprovalState.DRAFT,
    "needs info": ApprovalState.SUBMITTED,
    "completed": ApprovalState.APPROVED,
    "new": ApprovalState.DRAFT,
    "reopened": ApprovalState.DRAFT,
    "in progress": ApprovalState.DRAFT,
    "blocked": ApprovalState.DRAFT,
    "fixed": ApprovalState.SUBMITTED,
    "resolved": ApprovalState.SUBMITTED,
    "duplicate": ApprovalState.REJECTED,
    "can't repro": ApprovalState.REJECTED,
    "can't reproduce": ApprovalState.REJECTED,
    "won't fix": ApprovalState.REJECTED,
}
"""All states of the schema Story. Only completed is reached and accepted.

Needs info waits for somebody's word, as do fixed and resolved, which are done but not accepted; the last four will not
be done. From new on they are states of issues, which a story keeps that was made a milestone afterwards.
"""


def milestone_facts(
    story: Record, workspaces: Mapping[str, Record], states: Mapping[str, ApprovalState] = STATES
) -> MilestoneFacts:
    """A milestone of `KantataClient.milestones`; `workspaces` are the account's projects by id.

    One that was deleted or archived, or whose fee was taken away (not fixed fee any more, or not billable), is
    DELETED, and then needs no content. An archived project changes nothing: its milestones are reached or not.
    """
    story_id, kind = text(story, "id"), text(story, "story_type")
    if kind != "milestone":
        raise MalformedRecordError(f"story_type {kind[:40]!r} is no milestone")
    if _is_withdrawn(story):
        try:
            return _facts(story, story_id, ApprovalState.DELETED, workspaces)
        except MalformedRecordError:
            return _deleted_unreadable(story_id)
    return _facts(story, story_id, _state(story, states), workspaces)


def _facts(story: Record, story_id: str, state: ApprovalState, workspaces: Mapping[str, Record]) -> MilestoneFacts:
    workspace = workspaces.get(text(story, "workspace_id"))
    if workspace is None:
        raise MalformedRecordError("workspace_id is none of the account's projects")
    title = WORKSPACE_TITLE.match(text(workspace, "title"))
    if title is None:
        raise MalformedRecordError("the project's title does not begin with a contract code")
    return MilestoneFacts(
        id=f"milestone:kantata:{story_id}",
        state=state,
        contract_code=title["contract"],
        component=title["component"] or MAIN,
        service_date=date(story, "due_date"),
        amount=_fee(story, workspace),
        label=text(story, "title"),
    )


def _deleted_unreadable(story_id: str) -> MilestoneFacts:
    return MilestoneFacts(
        id=f"milestone:kantata:{story_id}",
        state=ApprovalState.DELETED,
        contract_code=None,
        component=None,
        service_date=None,
        amount=None,
        label="",
    )


def _is_withdrawn(story: Record) -> bool:
    if optional_text(story, "deleted_at") is not None or flag(story, "archived"):
        return True
    # Absent, fixed_fee is no "no": it is hidden from a token that may not see budgets, and with it every fee would go.
    return not (flag(story, "fixed_fee") and flag(story, "billable", default=True))


def _state(story: Record, states: Mapping[str, ApprovalState]) -> ApprovalState:
    state = text(story, "state")
    if state not in states:
        raise MalformedRecordError(f"state {state[:40]!r} is unknown")
    return states[state]


def _fee(story: Record, workspace: Record) -> Money:
    """The budget: a whole number of the subunits of which the project's currency has `currency_base_unit` to the unit.

    Kantata's subunits are not always those of ISO 4217; what is no whole number of the latter is malformed.
    """
    code, subunits = currency(workspace, "currency"), _whole_number(workspace, "currency_base_unit", least=1)
    cents = _whole_number(story, "budget_estimate_in_cents", least=0)
    amount = Money(divide(Decimal(cents), Decimal(subunits)), code)
    try:
        return Money.from_minor_units(amount.minor_units(), code)
    except ValueError:
        raise MalformedRecordError(
            f"budget_estimate_in_cents, with {subunits} to one {code}, has a fraction of a minor unit"
        ) from None


def _whole_number(record: Record, name: str, *, least: int) -> int:
    value = record.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise MalformedRecordError(f"{name} is no whole number from {least} on")
    return value
