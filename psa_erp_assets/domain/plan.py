"""The plan: the difference between the effects that should exist and those that do.

Replays, late edits, retroactive rates and crashes are all the same case: compute the plan again. Planning a state
that is already as it should be gives an empty plan, so plan(plan) = plan.
"""

import enum
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal

from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decision import Decision, Hold, Mode
from psa_erp_assets.domain.effects import BillingLine, Effect, EffectType, booking_date, payload_hash, reversal_of
from psa_erp_assets.domain.faults import LIMITS
from psa_erp_assets.domain.keys import posting_key
from psa_erp_assets.domain.posting import ON_DOCUMENT, Leg, Operation, Posting, State
from psa_erp_assets.domain.values import Value, replace


class Action(enum.StrEnum):
    """What a plan item does. HOLD, WAIT, BLOCKED and SHADOW do nothing to the ERP; they say why nothing happens.

    VOID takes note of what the ERP has done itself: it cancelled the document that a line was on. Where that line took
    another one back, the other one counts again. RESTORE is the opposite: the cancelled document is a draft again, and
    what is on it counts. SHADOW is what would be done where the rollout has not gone live.
    """

    CREATE = "create"
    WITHDRAW = "withdraw"
    REVERSE = "reverse"
    CANCEL = "cancel"
    RETRY = "retry"
    VOID = "void"
    RESTORE = "restore"
    SHADOW = "shadow"
    HOLD = "hold"
    WAIT = "wait"
    BLOCKED = "blocked"


_POSTING = frozenset({Action.CREATE, Action.WITHDRAW, Action.REVERSE, Action.RETRY})
ACTING = _POSTING | {Action.CANCEL, Action.VOID, Action.RESTORE}
_EFFECT_TYPES = tuple(EffectType)
_BOTH_OR_NEITHER = (EffectType.COST_TRANSACTION, EffectType.INTERCOMPANY_CHARGE)
_UNSENT = frozenset({State.PLANNED, State.HELD, State.READY})
_SENT = frozenset({State.IN_FLIGHT, State.AMBIGUOUS, State.RESOLVING, State.CONFIRMED})
_NEEDS_HUMAN = frozenset({State.CONFLICT, State.DUPLICATE, State.DRIFT})
_NOTHING_THERE = "not in the ERP yet"
_ENDED = frozenset({State.CANCELLED, State.WITHDRAWN, State.REVERSED})


class PlanItem(Value, frozen=True, kw_only=True):
    """One line of a plan.

    `key` is the posting that the item makes or touches, None for a hold. `effect` is what is created (for a
    reversal, the opposite of the original) or, for a withdrawal, a cancellation or a retry, what is there already.
    """

    action: Action
    effect_type: EffectType
    object_id: str
    contract_id: str | None
    reason: str
    source_revision: int
    revision: int | None = None
    key: str | None = None
    target_key: str | None = None
    depends_on: str | None = None
    effect: Effect | None = None
    hold: Hold | None = None

    @property
    def acts(self) -> bool:
        """Whether applying it changes anything."""
        return self.action in ACTING


ClosedPeriods = Mapping[tuple[str, ServiceMonth], str]
"""The legal entity's code by ERP company and month, for each month that is closed in its books."""


def plan_entry(
    decision: Decision,
    postings: Sequence[Posting],
    on_document: AbstractSet[str],
    tenant: str,
    *,
    closed: ClosedPeriods | None = None,
    cancelled: AbstractSet[str] = frozenset(),
    standing: AbstractSet[str] = frozenset(),
) -> list[PlanItem]:
    """The plan of one object: for each effect type, from what is there (`postings`, all of this object, in any order)
    to what the decision wants. `on_document` are the keys whose ERP document another document has taken up,
    `cancelled` those of them whose document the ERP has cancelled, each of what is VERIFIED or REVERSED. `standing` are
    the keys of what is REVERSED and in the ERP all the same, on no document that it has cancelled.
    """
    if decision.mode is Mode.OFF:
        return []
    if not postings and not decision.left_alone:
        items = _first(decision, tenant)
        if not closed or not any(_books_of(item.effect) in closed for item in items if item.effect is not None):
            return [_shadow(item) for item in items] if decision.mode is Mode.SHADOW else items
    planned: list[tuple[_Chain, list[PlanItem]]] = []
    shut: dict[EffectType, frozenset[str]] = {}
    concerned = {what.effect_type for what in (*decision.effects, *decision.holds, *postings)}
    for effect_type in _EFFECT_TYPES:
        if effect_type not in concerned:
            continue
        mine = [p for p in postings if p.effect_type is effect_type]
        mine.sort(key=lambda p: p.revision)
        chain = _Chain(decision, effect_type, mine, on_document, cancelled=cancelled, standing=standing, tenant=tenant)
        left_alone = effect_type in decision.left_alone or is_settled(decision, effect_type, mine)
        planned.append((chain, chain.left_alone() if left_alone else chain.items()))
        # A draft invoice line is in no period; finance dates the invoice.
        bills = effect_type is EffectType.BILLING_LINE
        shut[effect_type] = frozenset() if bills or not closed else chain.shut(planned[-1][1], closed)
    items = [item for _, wanted in planned for item in wanted]
    if any(shut.values()):
        # One piece of work that is in two entities' books is in both, or waits in both.
        between = frozenset[str]().union(*(shut.get(effect_type, ()) for effect_type in _BOTH_OR_NEITHER))
        shut |= dict.fromkeys(_BOTH_OR_NEITHER, between)
        items = [item for chain, wanted in planned for item in chain.outside(shut[chain.effect_type], wanted)]
    return [_shadow(item) for item in items] if decision.mode is Mode.SHADOW else items


def _first(decision: Decision, tenant: str) -> list[PlanItem]:
    """The plan of what nothing is in the ERP of yet: all that is wanted is created. Most work is planned just once."""
    if not decision.holds:
        # There is one effect of a type at most.
        return [_creation(decision, wanted, tenant, _NOTHING_THERE) for wanted in decision.effects]
    items = []
    for effect_type in _EFFECT_TYPES:
        wanted, hold = decision.effect(effect_type), decision.hold(effect_type)
        if wanted is not None:
            items.append(_creation(decision, wanted, tenant, _NOTHING_THERE))
        if hold is not None:
            items.append(
                PlanItem(
                    action=Action.HOLD,
                    effect_type=effect_type,
                    object_id=decision.object_id,
                    contract_id=decision.route.contract_id,
                    reason=hold.detail,
                    source_revision=decision.revision,
                    hold=hold,
                )
            )
    return items


def _creation(
    decision: Decision, wanted: Effect, tenant: str, reason: str, *, revision: int = 1, depends_on: str | None = None
) -> PlanItem:
    """What is wanted, as an item that creates it."""
    key = posting_key(
        tenant=tenant,
        erp_company=wanted.erp_company,
        effect_type=wanted.effect_type.value,
        object_id=decision.object_id,
        revision=revision,
        leg=Leg.ORIGINAL.value,
    )
    return PlanItem(
        action=Action.CREATE,
        effect_type=wanted.effect_type,
        object_id=decision.object_id,
        contract_id=decision.route.contract_id,
        reason=reason,
        source_revision=decision.revision,
        revision=revision,
        key=key,
        depends_on=depends_on,
        effect=wanted,
    )


def _books_of(effect: Effect) -> tuple[str, ServiceMonth] | None:
    """Company and month that an effect is posted into. A draft invoice line is in none; finance dates the invoice."""
    return None if isinstance(effect, BillingLine) else (effect.erp_company, ServiceMonth.of(booking_date(effect)))


def is_settled(decision: Decision, effect_type: EffectType, postings: Iterable[Posting]) -> bool:
    """Whether people have booked what was missing of an effect, and what the sync has posted of it is what is left.

    `postings` are all of the object; of another type, or what was never sent, they say nothing.
    """
    if effect_type not in decision.settled:
        return False
    mine = [p for p in postings if p.effect_type is effect_type and p.leg is Leg.ORIGINAL]
    there = [p for p in mine if p.state not in _ENDED | _UNSENT and p.state is not State.REJECTED]
    wanted = decision.effect(effect_type)
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for what, sign in [*((p, 1) for p in there), *([(wanted, -1)] if wanted is not None else [])]:
        sums[what.erp_company, what.amount.currency] += sign * what.amount.amount
    return not any(sums.values()) and sum(p.minutes for p in there) == (wanted.minutes if wanted is not None else 0)


def _shadow(item: PlanItem) -> PlanItem:
    """What would be done, as an item that does nothing."""
    return replace(item, action=Action.SHADOW, reason=f"{item.action}: {item.reason}") if item.acts else item


class _Chain:
    """All postings of one entry and effect type, oldest first, and what to do about the last of them."""

    def __init__(
        self,
        decision: Decision,
        effect_type: EffectType,
        postings: Sequence[Posting],
        on_document: AbstractSet[str],
        *,
        cancelled: AbstractSet[str],
        standing: AbstractSet[str],
        tenant: str,
    ) -> None:
        self.decision, self.effect_type, self.tenant = decision, effect_type, tenant
        self.wanted = decision.effect(effect_type)
        self.hold = decision.hold(effect_type)
        self.postings, self.on_document, self.cancelled = list(postings), on_document, cancelled
        self.standing = standing
        self.by_key = {p.key: p for p in postings}
        self.next_revision = max((p.revision for p in postings), default=0) + 1

    def items(self) -> list[PlanItem]:
        """What is to be done, as if every period were open."""
        held = [self._item(Action.HOLD, self.hold.detail, hold=self.hold)] if self.hold is not None else []
        if not self.postings:
            return self._act_on(()) + held
        cancelled = [p for p in self.postings if p.state is State.VERIFIED and self._is_cancelled(p)]
        voided = [item for p in reversed(cancelled) for item in self._void(p)]
        if not all(item.acts for item in voided):
            return voided + held
        # From here on as the ledger will be when these have been taken note of.
        self._take_note(item.key for item in voided if item.action is Action.VOID)
        noted = self._note_what_counts()
        if not all(item.acts for item in noted):
            return voided + noted + held
        loose = [p for p in self.postings if self._is_loose(p)]
        corrected = [item for p in loose for item in self._take_back(p, "what it takes back is on a cancelled invoice")]
        twice = [item for p in self._surplus() for item in self._take_back(p, "another one has taken the same back")]
        originals = [p for p in self.postings if p.leg is Leg.ORIGINAL and p.state not in _ENDED]
        return voided + noted + corrected + twice + self._act_on(originals) + held

    def left_alone(self) -> list[PlanItem]:
        """Somebody books it by hand, or nobody does: what is in the ERP stays, and nothing more is sent."""
        unsent = [p for p in self.postings if p.state in _UNSENT or p.state is State.REJECTED]
        return [self._on(Action.CANCEL, p, "it is not for the sync to book") for p in unsent]

    def _is_cancelled(self, posting: Posting) -> bool:
        return posting.operation is Operation.CREATE and posting.key in self.cancelled

    def _is_loose(self, posting: Posting) -> bool:
        """Whether it takes back, in the ERP, what counts for nothing any more: its document was cancelled, or it was
        withdrawn while the document of this one was cancelled.
        """
        if posting.operation is not Operation.CREATE or posting.state is not State.VERIFIED:
            return False
        target = self.by_key.get(posting.target_key or "")
        return target is not None and (target.key in self.cancelled or target.state is State.WITHDRAWN)

    def _counts(self, posting: Posting) -> bool:
        """Whether it is in the ERP, on no cancelled document, and nothing that counts has taken it back."""
        stands = posting.key in self.standing if posting.state is State.REVERSED else posting.state is State.VERIFIED
        if not stands or posting.operation is not Operation.CREATE:
            return False
        return not any(p.target_key == posting.key and self._counts(p) for p in self.by_key.values())

    def _note_what_counts(self) -> list[PlanItem]:
        """Finance may have made a draft again of what it had cancelled: the ledger has it as reversed, and the ERP has
        not. What takes another one back comes before that one, and nothing is noted while its rival is on its way.
        """
        if len(self.postings) == 1 and not self.standing:
            return []
        items: list[PlanItem] = []
        for key in sorted(self.by_key, key=self._depth, reverse=True):
            posting, step = self.by_key[key], list[PlanItem]()
            if posting.state is State.REVERSED and self._counts(posting):
                step = self._restore(posting)
            elif (
                posting.operation is Operation.CREATE and posting.state is State.VERIFIED and not self._counts(posting)
            ):
                step = self._void(posting, "what takes it back counts again")
            items += step
            if not all(item.acts for item in step):
                break
            self._take_note(item.key for item in step if item.action is Action.VOID)
            self._take_note_again(item.key for item in step if item.action is Action.RESTORE)
        return items

    def _depth(self, key: str) -> int:
        """How many postings it takes back, one of them the next."""
        target = self.by_key[key].target_key
        return 0 if target is None or target not in self.by_key else 1 + self._depth(target)

    def _restore(self, posting: Posting) -> list[PlanItem]:
        """`posting` counts again, and what it took back does not."""
        if posting.leg is Leg.ORIGINAL:
            live = (p for p in reversed(self.postings) if p.leg is Leg.ORIGINAL and p.state not in _ENDED)
            rival = next(live, None)
        else:
            target = self.by_key[posting.target_key or ""]
            rival = self._removal_of(target) if target.state is State.VERIFIED else None
        if rival is not None and rival.state in _NEEDS_HUMAN:
            return [self._on(Action.BLOCKED, rival, f"it is in {rival.state.value} and waits for a person")]
        if rival is not None and rival.state in _SENT:
            return [self._on(Action.WAIT, rival, f"it is {rival.state.value}")]
        items = [self._on(Action.RESTORE, posting, "finance has made a draft again of the invoice that it is on")]
        if rival is not None and rival.leg is not Leg.ORIGINAL:
            items.insert(0, self._on(Action.CANCEL, rival, "another one has taken back what it was to take back"))
        return items

    def _take_note_again(self, restored: Iterable[str | None]) -> None:
        """Let the postings be as `posting.reinstate` leaves them, and what they take back."""
        for key in restored:
            assert key is not None
            self.by_key[key] = posting = replace(self.by_key[key], state=State.VERIFIED)
            target = self.by_key.get(posting.target_key or "")
            if target is not None and target.state is State.VERIFIED:
                self.by_key[target.key] = replace(target, state=State.REVERSED)
        self.postings = [self.by_key[p.key] for p in self.postings]

    def _surplus(self) -> list[Posting]:
        """What takes back in the ERP what another one has taken back there already."""
        takers: dict[str, list[Posting]] = defaultdict(list)
        for posting in self.postings:
            in_erp = posting.operation is Operation.CREATE and posting.state is State.VERIFIED
            if in_erp and posting.target_key is not None and not self._is_loose(posting):
                takers[posting.target_key].append(posting)
        # The one that stays is none whose removal is under way, and rather one that is on a document.
        ranked = [
            sorted(mine, key=lambda p: (self._removal_of(p) is not None, not self._taken_up(p)))
            for mine in takers.values()
        ]
        return [posting for mine in ranked for posting in mine[1:]]

    def _void(self, posting: Posting, reason: str = "finance cancelled its invoice in the ERP") -> list[PlanItem]:
        """`posting` is on a cancelled document: it counts for nothing, and nothing may take it back a second time.

        What it took back itself counts again, unless that is on a cancelled document too.
        """
        removal = self._removal_of(posting)
        if removal is not None and removal.state in _NEEDS_HUMAN:
            return [self._on(Action.BLOCKED, removal, f"it is in {removal.state.value} and waits for a person")]
        if removal is not None and removal.state in _SENT:
            return [self._on(Action.WAIT, removal, f"it is {removal.state.value}")]
        items = [self._on(Action.VOID, posting, reason)]
        if removal is not None:
            items.insert(0, self._on(Action.CANCEL, removal, "what it was to take back is on a cancelled invoice"))
        target = self.by_key.get(posting.target_key or "")
        while target is not None and self._is_cancelled(target):
            items.append(self._on(Action.VOID, target, "what took it back is on a cancelled invoice, as it is itself"))
            target = self.by_key.get(target.target_key or "")
        return items

    def _take_note(self, voided: Iterable[str | None]) -> None:
        """Let the postings be as the voids leave them: `posting.void`, and `posting.restore` of what one took back."""
        for key in voided:
            assert key is not None
            posting = self.by_key[key]
            self.by_key[key] = replace(posting, state=State.REVERSED)
            target = self.by_key.get(posting.target_key or "")
            if target is not None and target.state is State.REVERSED:
                self.by_key[target.key] = replace(target, state=State.VERIFIED)
        self.postings = [self.by_key[p.key] for p in self.postings]

    def _take_back(self, posting: Posting, reason: str) -> list[PlanItem]:
        """What is in the ERP and not to count there: removed, unless its removal is on its way."""
        removal = self._removal_of(posting)
        if removal is None:
            return [self._remove(posting, reason)]
        if removal.state is State.REJECTED:
            return [self._on(Action.RETRY, removal, f"was rejected: {removal.fault_code}")]
        if removal.state in _NEEDS_HUMAN:
            return [self._on(Action.BLOCKED, removal, f"it is in {removal.state.value} and waits for a person")]
        return []

    def shut(self, items: Sequence[PlanItem], closed: ClosedPeriods) -> frozenset[str]:
        """Which closed periods the items would post into, and whose they are."""
        periods = [self._period(item) for item in items if item.action in _POSTING]
        return frozenset(f"{period[1]} is closed in {closed[period]}" for period in periods if period in closed)

    def outside(self, shut: AbstractSet[str], items: list[PlanItem]) -> list[PlanItem]:
        """The items, or a hold in place of all that post where one of them would post into a closed period.

        All: half of a correction, such as the reversal without what follows it, is worse than none. What is in the
        books already is as it should be and needs no item, so that closing a month holds nothing of it.
        """
        left = [item for item in items if item.action not in _POSTING]
        if not shut or left == items:
            return items
        hold = Hold("period_closed", self.effect_type, "; ".join(sorted(shut)))
        return [*left, self._item(Action.HOLD, hold.detail, hold=hold)]

    def _period(self, item: PlanItem) -> tuple[str, ServiceMonth]:
        """Company and month that the item posts into; of a withdrawal, those of what it withdraws."""
        effect = item.effect or next(p.effect for p in self.postings if p.key == item.target_key)
        assert effect is not None
        return effect.erp_company, ServiceMonth.of(booking_date(effect))

    def _act_on(self, originals: Sequence[Posting]) -> list[PlanItem]:
        """Bring the newest original to what is wanted; one that was never sent yields to those before it.

        Those before it in the ERP are being removed, but for one whose credit note finance has cancelled.
        """
        if not originals:
            return self._create(_NOTHING_THERE, depends_on=None)
        last, before = originals[-1], originals[:-1]
        if last.state in _NEEDS_HUMAN:
            return [self._on(Action.BLOCKED, last, f"it is in {last.state.value} and waits for a person")]
        if self._same(last):
            kept = self._billed_before(last, before)
            if kept is not None:
                beside = "the same line counts again, on the invoice that it was on"
                mine = [self._on(Action.CANCEL, last, beside)] if last.state is not State.VERIFIED else []
                mine = mine or self._take_back(last, beside)
                return [*self._clear([p for p in before if p is not kept]), *mine]
            return [*self._clear(before), *self._go_on(last)]
        if last.state in _SENT:
            return [self._on(Action.WAIT, last, f"it is {last.state.value}")]
        if last.state is State.VERIFIED:
            return self._replace(originals)
        return [self._on(Action.CANCEL, last, self._why_not_wanted()), *self._act_on(before)]

    def _billed_before(self, last: Posting, before: Sequence[Posting]) -> Posting | None:
        """An earlier line that is just what is wanted and on an invoice, while the last one is on none."""
        if last.state in _SENT or (last.state is State.VERIFIED and self._taken_up(last)):
            return None
        mine = (p for p in before if p.state is State.VERIFIED and self._same(p) and self._taken_up(p))
        return next((p for p in mine if self._removal_of(p) is None), None)

    def _go_on(self, last: Posting) -> list[PlanItem]:
        """`last` is what is wanted, wherever it is on its way."""
        if last.state in _SENT:
            return []
        if last.state is State.REJECTED:
            return [self._on(Action.RETRY, last, f"was rejected: {last.fault_code}")]
        return self._keep(last)

    def _replace(self, originals: Sequence[Posting]) -> list[PlanItem]:
        """The last is in the ERP and not what is wanted. Nothing is written anew where another one is just that."""
        again = next((p for p in reversed(originals) if self._same(p) and self._removal_of(p) is None), None)
        if again is not None:
            return self._clear([p for p in originals if p is not again])
        return [*self._clear(originals[:-1]), *self._remove_and_replace(originals[-1])]

    def _clear(self, originals: Sequence[Posting]) -> list[PlanItem]:
        """Take back those that are in the ERP beside the one that counts."""
        return [item for p in originals for item in self._take_back(p, "another line of the same work counts")]

    def _keep(self, last: Posting) -> list[PlanItem]:
        """`last` is what is wanted: stop its removal, or follow it if that cannot be stopped any more."""
        removal = self._removal_of(last)
        if removal is None or removal.state is State.REJECTED or removal.state in _UNSENT:
            return self._stop_removal(last, "what it was to remove is wanted after all")
        return self._create("its predecessor is being removed", depends_on=removal.key)

    def _remove_and_replace(self, last: Posting) -> list[PlanItem]:
        """`last` is in the ERP and not what is wanted."""
        if self._is_gap() and last.source_revision == self.decision.revision:
            # Nothing about the work changed; a gap in master data is no reason to take back what was right.
            return self._stop_removal(last, "its work has not changed, and what replaces it is held")
        steps = self._take_back(last, self._why_not_wanted())
        if not steps:
            removal = self._removal_of(last)
            assert removal is not None
            return self._create("its predecessor is being removed", depends_on=removal.key)
        (step,) = steps
        return steps if not step.acts else [step, *self._create(self._why_not_wanted(), depends_on=step.key)]

    def _is_gap(self) -> bool:
        """Whether only master data are missing, so that what should exist cannot be told.

        A charge between entities stands and falls with the cost that it is for: what holds that holds the charge.
        """
        charge = self.effect_type is EffectType.INTERCOMPANY_CHARGE
        hold = self.hold or (self.decision.hold(EffectType.COST_TRANSACTION) if charge else None)
        return self.wanted is None and hold is not None and hold.code not in LIMITS

    def _stop_removal(self, original: Posting, reason: str) -> list[PlanItem]:
        """Cancel the removal of `original` if it has not been sent yet."""
        removal = self._removal_of(original)
        if removal is None or removal.state not in _UNSENT:
            return []
        return [self._on(Action.CANCEL, removal, reason)]

    def _removal_of(self, original: Posting) -> Posting | None:
        """The reversal or withdrawal of `original` that is under way; a rejected one only if it is still the way."""
        way = Leg.REVERSAL if self._taken_up(original) else Leg.WITHDRAWAL
        for posting in reversed(self.postings):
            if posting.target_key != original.key or posting.state in _ENDED or posting.state is State.VERIFIED:
                continue
            if posting.state is State.REJECTED and posting.leg is not way:
                continue
            return posting
        return None

    def _remove(self, posting: Posting, reason: str) -> PlanItem:
        assert posting.effect is not None
        taken_up = self._taken_up(posting)
        leg = Leg.REVERSAL if taken_up else Leg.WITHDRAWAL
        effect = self._reversal(posting.effect) if taken_up else posting.effect
        revision = self._revision_of_removal(posting, leg, effect)
        return self._item(
            Action.REVERSE if taken_up else Action.WITHDRAW,
            reason,
            revision=revision,
            key=self._key(effect.erp_company, revision, leg),
            target_key=posting.key,
            effect=effect,
        )

    def _revision_of_removal(self, target: Posting, leg: Leg, effect: Effect) -> int:
        """The target's own revision, so that the key follows from the target's.

        A removal that was cancelled is taken up again as it was; a new revision where the key is another one's, such as
        that of a credit note which finance has cancelled.
        """
        for removal in self.postings:
            as_before = leg is Leg.WITHDRAWAL or removal.payload_hash == payload_hash(effect)
            if (removal.target_key, removal.leg, removal.state) == (target.key, leg, State.CANCELLED) and as_before:
                return removal.revision
        if self._key(effect.erp_company, target.revision, leg) not in self.by_key:
            return target.revision
        self.next_revision += 1
        return self.next_revision - 1

    def _reversal(self, effect: Effect) -> Effect:
        """The reversal, in the period that somebody has chosen for this object if its own is closed."""
        reversal, chosen = reversal_of(effect), self.decision.posting_dates.get(self.effect_type)
        if chosen is None or isinstance(reversal, BillingLine):
            return reversal
        return replace(reversal, posting_date=chosen)

    def _taken_up(self, original: Posting) -> bool:
        """Whether another document has it: as last read, or by the ERP's own refusal to withdraw it."""
        return original.key in self.on_document or any(
            p.target_key == original.key and p.state is State.REJECTED and p.fault_code == ON_DOCUMENT
            for p in self.postings
        )

    def _create(self, reason: str, *, depends_on: str | None) -> list[PlanItem]:
        if self.wanted is None:
            return []
        revision = self.next_revision
        return [_creation(self.decision, self.wanted, self.tenant, reason, revision=revision, depends_on=depends_on)]

    def _same(self, posting: Posting) -> bool:
        return self.wanted is not None and posting.payload_hash == payload_hash(self.wanted)

    def _why_not_wanted(self) -> str:
        if self.wanted is not None:
            return "its content changed"
        return "it is held now" if self.hold is not None else "the work is no longer approved or billable"

    def _key(self, erp_company: str, revision: int, leg: Leg) -> str:
        return posting_key(
            tenant=self.tenant,
            erp_company=erp_company,
            effect_type=self.effect_type.value,
            object_id=self.decision.object_id,
            revision=revision,
            leg=leg.value,
        )

    def _on(self, action: Action, posting: Posting, reason: str) -> PlanItem:
        return self._item(
            action,
            reason,
            revision=posting.revision,
            key=posting.key,
            target_key=posting.target_key,
            effect=posting.effect,
        )

    def _item(
        self,
        action: Action,
        reason: str,
        *,
        revision: int | None = None,
        key: str | None = None,
        target_key: str | None = None,
        depends_on: str | None = None,
        effect: Effect | None = None,
        hold: Hold | None = None,
    ) -> PlanItem:
        return PlanItem(
            action=action,
            effect_type=self.effect_type,
            object_id=self.decision.object_id,
            contract_id=self.decision.route.contract_id,
            reason=reason,
            source_revision=self.decision.revision,
            revision=revision,
            key=key,
            target_key=target_key,
            depends_on=depends_on,
            effect=effect,
            hold=hold,
        )
