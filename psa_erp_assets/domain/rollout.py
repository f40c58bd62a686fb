"""How far the sync has been rolled out, by legal entity and contract type, from a date on.

What belongs here: the setting and how it is read. What does not: how a shadow plan compares with what people did by
hand (`shadow`).
"""

import datetime as dt
from dataclasses import dataclass

from psa_erp_assets.domain.decision import Mode
from psa_erp_assets.domain.terms import ContractKind


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutStep:
    """From a service date on, a mode for an entity and a contract type; None stands for every one."""

    mode: Mode
    legal_entity: str | None = None
    contract_kind: ContractKind | None = None
    valid_from: dt.date | None = None

    def fits(self, legal_entity: str, kind: ContractKind | None, on: dt.date) -> bool:
        """Whether it says something about work on a date."""
        return (
            self.legal_entity in (None, legal_entity)
            and self.contract_kind in (None, kind)
            and (self.valid_from is None or self.valid_from <= on)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """All steps. Without any, everything is live."""

    steps: tuple[RolloutStep, ...] = ()

    def mode(self, legal_entity: str, kind: ContractKind | None, on: dt.date) -> Mode:
        """The mode of the most specific step, of those the latest: entity and type before either, before neither.

        Where steps exist and none fits, the mode is OFF: a rollout names what it has reached.
        """
        fitting = [s for s in self.steps if s.fits(legal_entity, kind, on)]
        if not fitting:
            return Mode.OFF if self.steps else Mode.LIVE
        return max(
            fitting,
            key=lambda s: (
                (s.legal_entity is not None) + (s.contract_kind is not None),
                s.legal_entity is not None,
                s.valid_from or dt.date.min,
            ),
        ).mode
