"""Which system is the record for which field, what becomes of a value that another one says, and who stewards what.

What belongs here: the rules, and what they make of two values. What does not: reading these (`services.ownership`).
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class OnChange(enum.StrEnum):
    """What becomes of a value that arrives from a system that does not own the field."""

    IGNORE = "ignore"
    """It is listed, and nothing else: the owner's value counts."""
    PROPOSE = "propose"
    """It is listed and becomes an exception item for whoever keeps the owner's system; the owner's value counts."""
    HOLD = "hold"
    """The same, and work that depends on the record is held until both systems agree."""


SYSTEMS = ("crm", "psa", "hr", "erp")
"""The roles of systems, by the names of their sections in connections.yaml."""

FIELDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "customer": {"name": ("crm", "erp"), "country": ("crm", "erp")},
    "employee": {"name": ("hr", "psa"), "email": ("hr", "psa")},
    "project": {"name": ("psa", "erp")},
    "contract": {"currency": ("crm", "psa")},
}
"""Fields that more than one system holds, and which systems do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldOwner:
    """The system of record of a field, and what becomes of what others say."""

    entity: str
    field: str
    system: str
    on_change: OnChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Governance:
    """The rules of a company. Without `stewards` of an object type, whoever is a steward decides about it."""

    owners: tuple[FieldOwner, ...] = ()
    stewards: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def may_decide(self, object_type: str, actor_id: str) -> bool:
        """Whether a steward with this id decides about mappings of an object type."""
        named = self.stewards.get(object_type)
        return not named or actor_id in named


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a system says about a field of a canonical record; `source_id` is the record's id there."""

    system: str
    source_id: str
    value: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A field of which another system says something else than its owner."""

    entity: str
    canonical_id: str
    field: str
    owner: Held
    other: Held
    on_change: OnChange


def drifts(rule: FieldOwner, canonical_id: str, said: tuple[Held, ...]) -> list[Drift]:
    """Where the others differ from the owner. Nothing where the owner has no record: that is an orphan, not a drift.

    Spaces around a value and doubled ones do not count; the case of letters counts except in e-mail addresses.
    """
    owner = next((held for held in said if held.system == rule.system), None)
    if owner is None:
        return []
    wanted = _compared(rule.field, owner.value)
    return [
        Drift(
            entity=rule.entity,
            canonical_id=canonical_id,
            field=rule.field,
            owner=owner,
            other=held,
            on_change=rule.on_change,
        )
        for held in said
        if held.system != rule.system and _compared(rule.field, held.value) != wanted
    ]


def _compared(name: str, value: str | None) -> str:
    text = " ".join((value or "").split())
    return text.casefold() if name == "email" else text
