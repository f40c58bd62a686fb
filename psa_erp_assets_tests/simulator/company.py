"""The company whose work is billed: entries that are made, edited, un-approved and re-priced, and its planner."""

import datetime as dt
import random
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decision import Decision, Outcome, Route
from psa_erp_assets.domain.effects import Effect, EffectType
from psa_erp_assets.domain.plan import Action, PlanItem, plan_entry
from psa_erp_assets.domain.posting import Leg, Posting, new_posting
from psa_erp_assets.domain.values import replace
from psa_erp_assets_tests.simulator.faulty_erp import POISON
from psa_erp_assets_tests.simulator.memory_store import MemoryPostingStore
from psa_erp_assets_tests.support.postings import TENANT, make_effect

COMPANIES = ("1", "2")
_LEGS = {Action.CREATE: Leg.ORIGINAL, Action.REVERSE: Leg.REVERSAL, Action.WITHDRAW: Leg.WITHDRAWAL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One revision of a piece of work. `lent` says that the other company employs whoever did it."""

    id: str
    revision: int
    erp_company: str
    service_date: dt.date
    minutes: int
    approved: bool
    billable: bool
    lent: bool
    poisoned: bool


@dataclass(slots=True)
class Company:
    """Facts, the effects that follow from them, and the plans that bring those about."""

    rng: random.Random
    note: Callable[[str], None]
    rates: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COMPANIES, 120))
    entries: dict[str, Entry] = field(default_factory=dict)

    def something_happens(self) -> None:
        """A new entry, or any change that people make to one, at once or months later."""
        rng = self.rng
        if not self.entries or rng.random() < 0.35:
            entry = Entry(
                id=f"time_entry:sim:{len(self.entries) + 1}",
                revision=1,
                erp_company=rng.choice(COMPANIES),
                service_date=dt.date(2026, rng.choice((9, 10)), rng.randint(1, 28)),
                minutes=rng.randint(1, 480),
                approved=True,
                billable=rng.random() < 0.8,
                lent=rng.random() < 0.4,
                poisoned=rng.random() < 0.05,
            )
        elif rng.random() < 0.1:
            company = rng.choice(COMPANIES)
            self.rates[company] = rng.randint(50, 200)
            self.note(f"company: rate of {company} is {self.rates[company]} from the beginning")
            return
        else:
            old = self.entries[rng.choice(sorted(self.entries))]
            change = rng.choice(
                (
                    {"minutes": rng.randint(1, 480)},
                    {"approved": not old.approved},
                    {"poisoned": False},
                    {"lent": not old.lent},
                )
            )
            entry = replace(old, revision=old.revision + 1, **change)
        self.entries[entry.id] = entry
        self.note(f"company: {entry}")

    def decide(self, entry: Entry) -> Decision:
        """What should exist because of the entry as it is now."""
        route = Route("DE", ServiceMonth.of(entry.service_date), None)
        effects: tuple[Effect, ...] = ()
        if entry.approved:
            kinds = [EffectType.COST_TRANSACTION]
            if entry.billable:
                kinds += [EffectType.BILLING_LINE, EffectType.REVENUE_ENTRY]
            if entry.lent:
                kinds.append(EffectType.INTERCOMPANY_CHARGE)
            effects = tuple(self._effect(entry, kind) for kind in kinds)
        return Decision(
            object_id=entry.id,
            revision=entry.revision,
            route=route,
            outcome=Outcome.POST if effects else Outcome.NONE,
            minutes=entry.minutes,
            effects=effects,
        )

    def plan(
        self,
        store: MemoryPostingStore,
        on_document: Collection[str],
        now: dt.datetime,
        *,
        cancelled: Collection[str],
        standing: Collection[str],
    ) -> int:
        """Plan every entry anew and apply the plans; returns how many items did something."""
        made: dict[str, list[Posting]] = defaultdict(list)
        for posting in store.postings.values():
            made[posting.object_id].append(posting)
        acted = 0
        for entry in self.entries.values():
            items = plan_entry(
                self.decide(entry),
                made[entry.id],
                frozenset(on_document),
                TENANT,
                cancelled=frozenset(cancelled),
                standing=frozenset(standing),
            )
            for item in items:
                if item.acts:
                    self.note(
                        f"plan: {item.action} {item.effect_type} {entry.id} {(item.key or '')[:6]}: {item.reason}"
                    )
                    acted += 1
            # What ends comes first: it releases the claims that what replaces it needs.
            for item in items:
                if item.action is Action.CANCEL and item.key:
                    store.cancel([item.key], now, item.reason)
            for item in items:
                if item.action is Action.VOID and item.key:
                    store.void([item.key], now, item.reason)
            for item in items:
                if item.action is Action.RESTORE and item.key:
                    store.reinstate([item.key], now, item.reason)
            store.add([_posting(item, entry, now) for item in items if item.action in _LEGS], now)
            for item in items:
                if item.action is Action.RETRY and item.key:
                    store.retry([item.key], now, item.reason)
        return acted

    def _effect(self, entry: Entry, kind: EffectType) -> Effect:
        [other] = set(COMPANIES) - {entry.erp_company}
        effect = make_effect(
            entry.minutes,
            rate=f"{self.rates[entry.erp_company]}.00",
            effect_type=kind,
            erp_company=other if kind is EffectType.INTERCOMPANY_CHARGE else entry.erp_company,
            service_date=entry.service_date,
        )
        return replace(effect, description=POISON) if entry.poisoned else effect


def _posting(item: PlanItem, entry: Entry, now: dt.datetime) -> Posting:
    assert item.key is not None
    assert item.revision is not None
    assert item.effect is not None
    return new_posting(
        key=item.key,
        tenant=TENANT,
        legal_entity="DE",
        service_month=str(ServiceMonth.of(entry.service_date)),
        leg=_LEGS[item.action],
        object_id=item.object_id,
        revision=item.revision,
        source_revision=item.source_revision,
        effect=item.effect,
        now=now,
        target_key=item.target_key,
        depends_on=item.depends_on,
    )
