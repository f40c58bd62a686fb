"""What is asked of a report, as it stands in the address."""

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from psa_erp_assets.console.access import refuse_entity
from psa_erp_assets.domain.access import Actor, Permission
from psa_erp_assets.services.listings import LAST_PAGE
from psa_erp_assets.services.report_filters import DIMENSIONS, EXACT, Currency, Filters

_MONTH = r"^((19|20|21)\d{2}-(0[1-9]|1[0-2]))?$"
# Ids and names of members are printable; whatever is not cannot be one.
_MEMBER = r"^[^\x00-\x1f\x7f]{0,200}$"
_Member = Annotated[str, Field(pattern=_MEMBER)]


class Asked(BaseModel):
    """The filters of a report. Empty is what a form sends for a choice that was not made."""

    model_config = ConfigDict(populate_by_name=True)

    first: str = Field("", alias="from", pattern=_MONTH, description="First month, as 2026-09; empty for the last.")
    last: str = Field("", alias="to", pattern=_MONTH, description="Last month, which counts as well.")
    entity: str = Field("", pattern=r"^[A-Za-z0-9_-]{0,30}$", description="Legal entity; empty for all.")
    customer: _Member = Field("", description="Customer's id; - for what has none, empty for all.")
    practice: _Member = Field("", description="Practice; - for what has none, empty for all.")
    project: _Member = Field("", description="Project's id; - for what has none, empty for all.")
    contract: _Member = Field("", description="Contract's id; - for what has none, empty for all.")
    employee: _Member = Field("", description="Employee's id; - for what has none, empty for all.")
    grade: _Member = Field("", description="Grade; - for what has none, empty for all.")
    currency: Currency = Field("group", description="Amounts of the group, of the entity's books, or of documents.")
    run: str = Field(
        "", pattern=r"^\d{0,18}$", description="Number of the reporting run as of which; empty for the last."
    )

    def filters(self, actor: Actor) -> Filters:
        """The filters, within what the actor may see. Raises HTTPException 403 for another legal entity."""
        if self.entity:
            refuse_entity(actor, Permission.VIEW, self.entity)
        limits = Filters(
            first=self.first or None,
            last=self.last or None,
            currency=self.currency,
            entities=actor.entities(Permission.VIEW),
            run=int(self.run) if self.run else None,
        )
        return limits.replace(**{name: getattr(self, name) or None for name in DIMENSIONS})


class AskedRows(Asked):
    """The filters of rows: those of reports, and further columns that must have just this value."""

    outcome: _Member = Field("", description="What was decided about the work.")
    kind: _Member = Field("", description="Kind of the row, such as time or expense.")
    reason: _Member = Field("", description="Why revenue was lost.")
    difference: _Member = Field("", description="Class of difference of the reconciliation.")
    explained: _Member = Field("", description="Whether a rule explains the difference: true or false.")
    posted: _Member = Field("", description="Whether the invoice is posted: true or false.")
    invoiced: _Member = Field("", description="Whether the line is on a posted invoice: true or false.")
    gap: _Member = Field("", description="Why there is no backlog.")
    backlog_month: str = Field("", pattern=_MONTH, description="Month in which backlog is planned to be earned.")
    component: _Member = Field("", description="Component of the contract.")
    role: _Member = Field("", description="Account of the general ledger, by its role.")
    in_currency: _Member = Field("", description="Currency of the document.")
    books: _Member = Field("", description="Currency of the entity's books.")
    page: int = Field(1, ge=1, le=LAST_PAGE, description="Page, from 1.")

    def filters(self, actor: Actor) -> Filters:
        """The filters, within what the actor may see. Raises HTTPException 403 for another legal entity."""
        exact = tuple((name, value) for name in EXACT if (value := getattr(self, name)))
        return super().filters(actor).replace(exact=exact)


ReportQuery = Annotated[Asked, Query()]
RowsQuery = Annotated[AskedRows, Query()]
