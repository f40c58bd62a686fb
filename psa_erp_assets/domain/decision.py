"""A decision: what should exist in the ERP because of one fact, and the reasons for what should not.

What belongs here: the value. What does not: the rules that make it (`decide` for a fact by itself, `account` for the
work of a contract's month together).
"""

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from msgspec import field

from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.effects import Effect, EffectType, payload_hash
from psa_erp_assets.domain.keys import canonical_text, text_hash
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.values import Value


class Outcome(enum.StrEnum):
    """What becomes of a fact's minutes. NONE: it is not approved, so it has no financial effect.

    COVERED: a fixed fee or a retainer pays for it. WRITTEN_OFF: it was billable and nobody will pay for it.
    """

    POST = "post"
    COVERED = "covered"
    WRITTEN_OFF = "written_off"
    NON_BILLABLE = "non_billable"
    HOLD = "hold"
    NONE = "none"


class Mode(enum.StrEnum):
    """How far a legal entity and contract type have been rolled out.

    OFF plans nothing, SHADOW plans and posts nothing, so that the plan can be compared with what people do by hand,
    LIVE posts.
    """

    OFF = "off"
    SHADOW = "shadow"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class Route:
    """The partition of a fact, and its contract if it has one."""

    legal_entity: str
    service_month: ServiceMonth
    contract_id: str | None


@dataclass(frozen=True, slots=True)
class Hold:
    """Why an effect of this type is not posted."""

    code: str
    effect_type: EffectType
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a fact's minutes that has an outcome of its own. `amount` is what it is worth, where it has a price."""

    outcome: Outcome
    minutes: int
    amount: Money | None
    reason: str


class Decision(Value, frozen=True, kw_only=True, dict=True):
    """What follows from one revision of a fact: the effects that should exist and the reasons why others do not.

    `minutes` are those worked; the parts' minutes sum to them. There are no parts where all have one outcome.
    `component` is the part of the contract that it falls under, `reasons` say in words how it was decided, `versions`
    are the ids of the rates and mappings used. `held_rate` is what an hour is billed at whose billing line is held for
    another reason than its price; it is no part of the body. `posting_dates` are the days that somebody chose for
    effects whose own period is closed, `left_alone` the types of those that are not the sync's to book: what is there
    stays as it is. `settled` are those of which people have booked what was missing: what is there stays as it is while
    it comes to just what is left for the sync.
    """

    object_id: str
    revision: int
    route: Route
    outcome: Outcome
    minutes: int
    effects: tuple[Effect, ...] = ()
    holds: tuple[Hold, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    component: str | None = None
    parts: tuple[Part, ...] = ()
    reasons: tuple[str, ...] = ()
    mode: Mode = Mode.LIVE
    held_rate: Money | None = None
    posting_dates: Mapping[EffectType, dt.date] = field(default_factory=dict)
    left_alone: frozenset[EffectType] = frozenset()
    settled: frozenset[EffectType] = frozenset()

    def effect(self, effect_type: EffectType) -> Effect | None:
        """The effect of this type that should exist."""
        for effect in self.effects:
            if effect.effect_type is effect_type:
                return effect
        return None

    def hold(self, effect_type: EffectType) -> Hold | None:
        """The first reason why an effect of this type is held."""
        for hold in self.holds:
            if hold.effect_type is effect_type:
                return hold
        return None

    def minutes_of(self, outcome: Outcome) -> int:
        """How many of its minutes have this outcome."""
        if self.parts:
            return sum(part.minutes for part in self.parts if part.outcome is outcome)
        return self.minutes if self.outcome is outcome else 0

    @cached_property
    def text(self) -> str:
        """The body as canonical JSON."""
        return canonical_text(self.to_body())

    @cached_property
    def digest(self) -> str:
        """What two equal decisions about one revision have in common."""
        return text_hash(self.text)

    def to_body(self) -> dict[str, Any]:
        """The decision as a body for storing and for hashing, of what canonical JSON can write.

        Effects are named by the hashes of their payloads: the plan and the ledger have their content.
        """
        return {
            "outcome": self.outcome,
            "minutes": self.minutes,
            "revision": self.revision,
            "legal_entity": self.route.legal_entity,
            "service_month": str(self.route.service_month),
            "contract_id": self.route.contract_id,
            "component": self.component,
            "mode": self.mode,
            "effects": {effect.effect_type: payload_hash(effect) for effect in self.effects},
            "holds": self.holds,
            "parts": self.parts,
            "reasons": self.reasons,
            "versions": self.versions,
        }
