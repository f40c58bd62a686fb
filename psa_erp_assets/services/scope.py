"""Whose data a use case works on, and by which rules."""

import datetime as dt
from dataclasses import dataclass

from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decide import Rules
from psa_erp_assets.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """A tenant, the rules that its decisions follow, and the day from which on its work is synchronized."""

    tenant: str
    rules: Rules
    first_day: dt.date

    @classmethod
    def of(cls, settings: Settings) -> "Scope":
        """The scope that the settings describe."""
        return cls(
            tenant=settings.tenant,
            first_day=ServiceMonth.parse(settings.policies.extraction.first_month).first_day,
            rules=Rules(
                rounding=settings.connections.erp.rounding,
                default_legal_entity=settings.company.default_legal_entity,
            ),
        )
