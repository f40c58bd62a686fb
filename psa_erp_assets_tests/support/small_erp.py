"""An ERP in memory that carries out plans: what it holds in the end is the net of everything that was ever planned.

It does at once what it is asked for, or later, one posting at a time; refuses to withdraw what is on a document; lets
what has been planned wait while its period is closed; and fails where a plan would post into a closed one.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decision import Decision, Outcome, Route
from psa_erp_assets.domain.effects import BillingLine, Effect, EffectType, booking_date
from psa_erp_assets.domain.plan import Action, PlanItem, plan_entry
from psa_erp_assets.domain.posting import ON_DOCUMENT, Leg, Operation, Posting, State, new_posting
from psa_erp_assets.domain.posting_gate import promotions
from psa_erp_assets.domain.values import replace

TENANT = "demo"
NOW = dt.datetime(2026, 12, 1, tzinfo=dt.UTC)
_LEGS = {Action.CREATE: Leg.ORIGINAL, Action.REVERSE: Leg.REVERSAL, Action.WITHDRAW: Leg.WITHDRAWAL}

Net = dict[tuple[str, EffectType, str, str], tuple[Decimal, int]]
"""Amount and minutes by object, type, company and currency, none of them nought."""


@dataclass(slots=True)
class SmallErp:
    """`documents` are what it holds by key, `on_document` those that finance has put on an invoice, `cancelled` those
    whose invoice finance has cancelled. `closed` are company and month, with the entity's code."""

    postings: dict[str, Posting] = field(default_factory=dict)
    documents: dict[str, Effect] = field(default_factory=dict)
    on_document: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    closed: dict[tuple[str, ServiceMonth], str] = field(default_factory=dict)

    def plan(self, decisions: Iterable[Decision]) -> list[PlanItem]:
        """The plan from what is there to what is decided; what is decided no more should not exist."""
        made: dict[str, list[Posting]] = defaultdict(list)
        for posting in self.postings.values():
            made[posting.object_id].append(posting)
        wanted = {d.object_id: d for d in decisions}
        for object_id, postings in made.items():
            last = max(postings, key=lambda p: p.source_revision)
            if object_id not in wanted:
                wanted[object_id] = _gone(object_id, last)
        return [
            item
            for object_id in sorted(wanted)
            for item in plan_entry(
                wanted[object_id],
                made[object_id],
                self.on_document,
                TENANT,
                closed=self.closed,
                cancelled=self.cancelled,
                standing={k for k in self.documents if self.postings[k].state is State.REVERSED} - self.cancelled,
            )
        ]

    def apply(self, items: Sequence[PlanItem]) -> None:
        """Take the plan's items over; nothing is sent yet."""
        for item in items:
            if item.action in (Action.CANCEL, Action.VOID) and item.key is not None:
                state = State.CANCELLED if item.action is Action.CANCEL else State.REVERSED
                self._put(item.key, state)
                target = self.postings.get(self.postings[item.key].target_key or "")
                if item.action is Action.VOID and target is not None and target.state is State.REVERSED:
                    self._put(target.key, State.VERIFIED)
        for item in items:
            if item.action is Action.RESTORE and item.key is not None:
                self._put(item.key, State.VERIFIED)
                target = self.postings.get(self.postings[item.key].target_key or "")
                if target is not None and target.state is State.VERIFIED:
                    self._put(target.key, State.REVERSED)
        for item in items:
            if item.action is Action.RETRY and item.key is not None:
                self._put(item.key, State.PLANNED)
            elif item.action in _LEGS:
                self._add(item)

    def work(self, most: int | None = None) -> int:
        """Carry out planned postings, each after what it depends on; answers with how many."""
        done = 0
        while most is None or done < most:
            open_to_it = [p for p in self.postings.values() if p.state is State.PLANNED and self._is_open_to(p)]
            moved = promotions(
                open_to_it, self.postings, busy_targets=frozenset(), claimed_lines=self._claimed(), now=NOW
            )
            if not moved:
                break
            for transition in moved[: None if most is None else most - done]:
                self.postings[transition.after.key] = transition.after
                if transition.after.state is State.READY:
                    self._carry_out(transition.after)
                    done += 1
        return done

    def invoice(self, keys: Iterable[str]) -> None:
        """Finance puts these billing lines on an invoice."""
        self.on_document |= {k for k in keys if isinstance(self.documents.get(k), BillingLine)}

    def cancel_invoice(self, keys: Iterable[str]) -> None:
        """Finance cancels the invoice that these lines are on: in the ERP they bill nothing any more."""
        self.cancelled |= {k for k in keys if k in self.on_document}

    def make_draft_again(self, keys: Iterable[str]) -> None:
        """Finance makes a draft of the cancelled invoice that these lines are on: they bill again."""
        self.cancelled -= set(keys)

    def net(self) -> Net:
        """What its documents come to."""
        return net(
            (self.postings[key].object_id, effect)
            for key, effect in self.documents.items()
            if key not in self.cancelled
        )

    def _add(self, item: PlanItem) -> None:
        assert item.effect is not None
        assert item.key is not None
        assert item.revision is not None
        known = self.postings.get(item.key)
        assert known is None or known.state is State.CANCELLED, f"{item.action} of {item.object_id} is planned twice"
        assert not self._is_closed(item.effect), f"{item.object_id} would go into a closed period"
        leg = _LEGS[item.action]
        posting = new_posting(
            key=item.key,
            tenant=TENANT,
            legal_entity="",
            service_month="",
            leg=leg,
            object_id=item.object_id,
            revision=item.revision,
            source_revision=item.source_revision,
            effect=item.effect,
            now=NOW,
            target_key=item.target_key,
            depends_on=item.depends_on,
        )
        # A removal that was called off and is wanted again has its key again, and so must have its content.
        assert known is None or known.payload_hash == posting.payload_hash, f"{item.key} met two payloads"
        self.postings[item.key] = posting

    def _is_open_to(self, posting: Posting) -> bool:
        effect = posting.effect or self.documents.get(posting.target_key or "")
        return effect is None or not self._is_closed(effect)

    def _claimed(self) -> set[tuple[str, str]]:
        """The lines that an original bills, or is about to."""
        return {
            (p.object_id, p.effect_type.value)
            for p in self.postings.values()
            if p.leg is Leg.ORIGINAL and (p.state is State.VERIFIED or (p.state is State.PLANNED and not p.depends_on))
        }

    def _is_closed(self, effect: Effect) -> bool:
        period = effect.erp_company, ServiceMonth.of(booking_date(effect))
        return period in self.closed and not isinstance(effect, BillingLine)

    def _carry_out(self, posting: Posting) -> None:
        target = posting.target_key
        if posting.operation is Operation.WITHDRAW:
            assert target is not None
            if target in self.on_document:
                self.postings[posting.key] = replace(posting, state=State.REJECTED, fault_code=ON_DOCUMENT)
                return
            del self.documents[target]
        else:
            assert posting.effect is not None
            self.documents[posting.key] = posting.effect
        self._put(posting.key, State.VERIFIED)
        if target is not None:
            self._put(target, State.WITHDRAWN if posting.operation is Operation.WITHDRAW else State.REVERSED)

    def _put(self, key: str, state: State) -> None:
        self.postings[key] = replace(self.postings[key], state=state, fault_code=None)


def net(effects: Iterable[tuple[str, Effect]]) -> Net:
    """The sums of effects, by object, type, company and currency."""
    sums: dict[tuple[str, EffectType, str, str], tuple[Decimal, int]] = defaultdict(lambda: (Decimal(0), 0))
    for object_id, effect in effects:
        key = object_id, effect.effect_type, effect.erp_company, effect.amount.currency
        amount, minutes = sums[key]
        sums[key] = amount + effect.amount.amount, minutes + effect.minutes
    return {key: value for key, value in sums.items() if value != (0, 0)}


def add(*nets: Net) -> Net:
    """The sums of sums."""
    sums: dict[tuple[str, EffectType, str, str], tuple[Decimal, int]] = defaultdict(lambda: (Decimal(0), 0))
    for each in nets:
        for key, (amount, minutes) in each.items():
            sums[key] = sums[key][0] + amount, sums[key][1] + minutes
    return {key: value for key, value in sums.items() if value != (0, 0)}


def decided_net(decisions: Iterable[Decision]) -> Net:
    """What the decisions come to directly."""
    return net((d.object_id, effect) for d in decisions for effect in d.effects)


def _gone(object_id: str, last: Posting) -> Decision:
    route = Route(last.legal_entity, ServiceMonth.of(last.service_date), None)
    revision = last.source_revision + 1
    return Decision(object_id=object_id, revision=revision, route=route, outcome=Outcome.NONE, minutes=0)
