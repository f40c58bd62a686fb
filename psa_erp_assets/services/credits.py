"""Credits of billed time: which minutes of which entry were credited, and whether they are billed again."""

import datetime as dt
import secrets
from collections.abc import Sequence

from sqlalchemy import Connection, Engine

from psa_erp_assets.adapters.store import credits as credit_rows
from psa_erp_assets.adapters.store import plans, work_heads
from psa_erp_assets.adapters.store.postings import PgPostingStore
from psa_erp_assets.adapters.store.trace import TIME_ENTRY
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decision import Route
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.posting import Leg, Posting, State
from psa_erp_assets.domain.records import Credit
from psa_erp_assets.services.credit_review import note_unclassified
from psa_erp_assets.services.deciding import decide_partition
from psa_erp_assets.services.scope import Scope
from psa_erp_assets.services.trace import NotFoundError, identify

_IN_ERP = (State.CONFIRMED, State.VERIFIED, State.DRIFT)


class CreditRefusedError(Exception):
    """The credit cannot be: the entry is not billed, or not for so many minutes."""


def request_credit(
    engine: Engine,
    scope: Scope,
    entry_id: str,
    *,
    minutes: int,
    rebill: bool,
    in_erp: bool,
    reason: str,
    requested_by: str,
    now: dt.datetime,
) -> Credit:
    """Keep a credit of some minutes of a billed time entry, which the next sync carries out; answers with it.

    The entry is given by its canonical id or the vendor's own. `rebill`: the minutes are billed again, on a line of
    their own; otherwise they are written off. `in_erp`: finance has made the credit in the ERP already. Raises
    NotFoundError for an entry that is not known, and CreditRefusedError, with the reason, for one that is not in the
    ERP or not billed for so many minutes that were not credited before.
    """
    who, why = requested_by.strip(), reason.strip()
    if not who or not why:
        raise CreditRefusedError("a credit needs the name of whoever asks for it, and a reason")
    if minutes <= 0:
        raise CreditRefusedError(f"{minutes} minutes cannot be credited: give a number above nought")
    with engine.begin() as connection:
        object_id = ":".join((TIME_ENTRY, *identify(connection, scope.tenant, entry_id)))
        head = work_heads.heads(connection, scope.tenant, [object_id]).get(object_id)
        if head is None:
            raise NotFoundError(f"no time entry {entry_id!r} is known")
        route = Route(head.legal_entity, ServiceMonth.parse(head.service_month), head.contract_id)
        # Two credits at once would each find the minutes that only one of them can have.
        plans.lock_partition(connection, scope.tenant, (head.legal_entity, head.service_month))
        line = _billed(PgPostingStore(engine, scope.tenant).of_objects([object_id], connection=connection), object_id)
        left = _left(connection, scope, object_id, route, line)
        if minutes > left:
            raise CreditRefusedError(f"{minutes} minutes are more than the {left} that are billed and not credited yet")
        credit = Credit(
            id=f"{now.astimezone(dt.UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(2)}",
            object_id=object_id,
            minutes=minutes,
            rebill=rebill,
            in_erp=in_erp,
            reason=why,
        )
        credit_rows.add(connection, scope.tenant, credit, requested_by=who, now=now)
        if in_erp:
            month = str(ServiceMonth.of(line.service_date))
            note_unclassified(
                connection,
                scope.tenant,
                (head.legal_entity, month),
                company=line.erp_company,
                now=now,
                looked_at=[object_id],
            )
        work_heads.mark_changed(connection, scope.tenant, {object_id: route}, now)
    return credit


def _billed(postings: Sequence[Posting], object_id: str) -> Posting:
    """The newest billing line of an entry in the ERP. Raises CreditRefusedError where there is none."""
    billed = [
        posting
        for posting in postings
        if (posting.effect_type, posting.leg) == (EffectType.BILLING_LINE, Leg.ORIGINAL) and posting.state in _IN_ERP
    ]
    if not billed:
        raise CreditRefusedError(f"{object_id} has no billing line in the ERP: correct or reject it in the PSA instead")
    return billed[-1]


def _left(connection: Connection, scope: Scope, object_id: str, route: Route, billed: Posting) -> int:
    """Minutes of an entry that are billed in the ERP and not credited yet. Raises CreditRefusedError where none are."""
    partition = (route.legal_entity, str(route.service_month))
    decided = decide_partition(connection, scope, partition, [route.contract_id])
    decision = next((d for d in decided.decisions if d.object_id == object_id), None)
    line = decision.effect(EffectType.BILLING_LINE) if decision is not None else None
    if line is None:
        why = "; ".join(hold.detail for hold in decision.holds) if decision is not None else ""
        raise CreditRefusedError(f"nothing of {object_id} is to be billed any more{': ' if why else ''}{why}")
    # Credits that the sync carries out have made the line smaller; those that finance made in the ERP have not.
    before = credit_rows.of_objects(connection, scope.tenant, [object_id])
    return min(billed.minutes, line.minutes) - sum(credit.minutes for credit in before if credit.in_erp)
