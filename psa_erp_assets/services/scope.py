"""Whose data a use case works on, and by which rules."""

from dataclasses import dataclass

from psa_erp_assets.domain.decide import Rules
from psa_erp_assets.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """A tenant and the rules that its decisions follow."""

    tenant: str
    rules: Rules

    @classmethod
    def of(cls, settings: Settings) -> "Scope":
        """The scope that the settings describe."""
        return cls(
            tenant=settings.tenant,
            rules=Rules(
                rounding=settings.connections.erp.rounding,
                default_legal_entity=settings.company.default_legal_entity,
            ),
        )
