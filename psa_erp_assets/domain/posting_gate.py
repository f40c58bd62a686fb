"""The gate between PLANNED and READY: what a posting must wait for before it may be sent."""

import datetime as dt
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from psa_erp_assets.domain.posting import Posting, State, Transition, cancel, promote

AT_WORK = frozenset(
    {
        State.READY,
        State.IN_FLIGHT,
        State.AMBIGUOUS,
        State.RESOLVING,
        State.CONFIRMED,
        State.CONFLICT,
        State.DUPLICATE,
        State.DRIFT,
    }
)
"""States in which a reversal or withdrawal may have done its work or may still do it."""

_VERIFIED_ONCE = (State.VERIFIED, State.WITHDRAWN, State.REVERSED)


def waits_for_nothing(posting: Posting) -> bool:
    """Whether it may be sent as soon as it is planned."""
    return posting.depends_on is None and posting.target_key is None


def promotions(
    planned: Iterable[Posting],
    others: Mapping[str, Posting],
    *,
    busy_targets: AbstractSet[str],
    claimed_lines: AbstractSet[tuple[str, str]],
    now: dt.datetime,
) -> list[Transition]:
    """Which planned postings become READY, and which never can and are CANCELLED; the rest go on waiting.

    A posting goes on when its dependency and what it takes back are verified, when no other posting is at work on
    that target, and when its line is free. It is given up when its dependency was rejected or cancelled, or when
    there is nothing to take back: the planner plans anew. `others` holds dependencies and targets by key,
    `busy_targets` the targets on which a posting is AT_WORK, `claimed_lines` the lines and effect types with an
    active claim.
    """
    busy, claimed = set(busy_targets), set(claimed_lines)
    transitions = []
    for posting in planned:
        dependency = others[posting.depends_on] if posting.depends_on else None
        target = others[posting.target_key] if posting.target_key else None
        if dependency is not None and dependency.state in (State.REJECTED, State.CANCELLED):
            transitions.append(cancel(posting, now, f"{dependency.key}, on which it depends, was {dependency.state}"))
            continue
        if target is not None and target.state in (State.REJECTED, State.CANCELLED, State.WITHDRAWN, State.REVERSED):
            transitions.append(cancel(posting, now, f"{target.key}, which it was to take back, is {target.state}"))
            continue
        line = (posting.object_id, posting.effect_type.value)
        if (
            (dependency is not None and dependency.state not in _VERIFIED_ONCE)
            or (target is not None and (target.state not in (State.VERIFIED, State.DRIFT) or target.key in busy))
            or (posting.claims_when_promoted and line in claimed)
        ):
            continue
        if target is not None:
            busy.add(target.key)
        if posting.claims_when_promoted:
            claimed.add(line)
        transitions.append(promote(posting, now, erp_id=_document_to_remove(posting, target)))
    return transitions


def _document_to_remove(posting: Posting, target: Posting | None) -> str | None:
    return target.erp_id if target is not None and posting.effect is None else None
