"""Time, expenses and milestones as the HTTP API takes them, and the canonical records that they say.

Nothing is guessed: an unknown field is refused, a number is no text, and an amount is a text, because a JSON number
with a fraction is a float to most programs.
"""

import datetime as dt
import functools
import re
import zoneinfo
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from psa_erp_assets.domain.calendar import service_date
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.records import ApprovalState, Expense, Milestone, TimeEntry, WorkItem
from psa_erp_assets.domain.terms import MAIN
from psa_erp_assets.services.submitting import API, Submission

_EARLIEST, _LATEST = dt.date(2000, 1, 1), dt.date(2100, 12, 31)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:.*")
# Beyond it neither zones nor the two ends of a leap into another day explain a difference.
_A_DAY_OF_ANY_ZONE = dt.timedelta(days=2)


def _written_as(pattern: re.Pattern[str], example: str) -> BeforeValidator:
    """Texts alone, since pydantic takes a number of seconds for a date too."""

    def check(value: Any) -> Any:
        if not isinstance(value, str) or pattern.fullmatch(value) is None:
            raise ValueError(f"write it as {example}")
        return value

    return BeforeValidator(check)


def _of_this_century(day: dt.date) -> dt.date:
    if not _EARLIEST <= day <= _LATEST:
        raise ValueError(f"not between {_EARLIEST} and {_LATEST}")
    return day


Name = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1, max_length=200)]
Prose = Annotated[str, StringConstraints(strict=True, max_length=4_000)]
Flag = Annotated[bool, Field(strict=True)]
Day = Annotated[dt.date, _written_as(_DATE, "2026-09-14"), AfterValidator(_of_this_century)]
Instant = Annotated[AwareDatetime, _written_as(_INSTANT, "2026-09-14T09:00:00+02:00")]


class Amount(BaseModel):
    """An amount in a currency, with no more digits than the currency has."""

    model_config = ConfigDict(extra="forbid")

    currency: Annotated[
        str,
        StringConstraints(strict=True, pattern=r"^[A-Z]{3}$"),
        Field(description="ISO 4217 code.", examples=["EUR"]),
    ]
    amount: Annotated[
        str,
        StringConstraints(strict=True, pattern=r"^[0-9]{1,12}(\.[0-9]{1,4})?$"),
        Field(description="A text, never negative.", examples=["84.50"]),
    ]

    @field_validator("amount")
    @classmethod
    def _has_no_fraction_of_a_cent(cls, amount: str, info: ValidationInfo) -> str:
        if "currency" in info.data:
            Money(Decimal(amount), info.data["currency"]).minor_units()
        return amount

    def money(self) -> Money:
        """As the domain has it, with the currency's digits."""
        return Money.from_minor_units(Money(Decimal(self.amount), self.currency).minor_units(), self.currency)


class _Work(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: Annotated[
        str,
        StringConstraints(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"),
        Field(description="Your own id of it. The same id again is a revision of the same work."),
    ]
    source_version: Annotated[
        int | None,
        Field(
            strict=True,
            ge=1,
            le=2**53 - 1,
            description="Your number of this version, higher with each. With it the highest counts, in whatever order "
            "versions arrive; without it the last one that arrives. Number all versions of a piece of work or none.",
        ),
    ] = None
    state: Annotated[
        ApprovalState,
        Field(description="Only approved work has financial effects. What was deleted is taken back."),
    ]
    service_date: Annotated[
        Day, Field(description="Local day of the work, the expense or the acceptance; the planned one before that.")
    ]


class _Recorded(_Work):
    psa_user_id: Annotated[Name, Field(description="Who did it, by the PSA user's id in the master data.")]
    psa_project_id: Annotated[
        Name | None, Field(description="The project, by its PSA id in the master data. Without one it is held.")
    ]
    billable: Annotated[Flag, Field(description="Whether it may be billed; the contract's terms decide the rest.")]
    description: Annotated[Prose, Field(description="What the invoice line says.")] = ""


class TimeEntryBody(_Recorded):
    """Recorded time."""

    kind: Literal["time_entry"]
    minutes: Annotated[int, Field(strict=True, ge=0, le=31 * 24 * 60, description="Whole minutes.")]
    time_zone: Annotated[str, StringConstraints(strict=True), Field(description="IANA zone of whoever worked.")] = "UTC"
    started_at: Annotated[
        Instant | None,
        Field(description="When the work began, with its offset; the day's beginning if it is not known."),
    ] = None
    task: Annotated[Name | None, Field(description="The project's task, which a rate card may name.")] = None
    work_types: Annotated[
        tuple[Name, ...],
        Field(max_length=20, description="Types of work to which the terms give factors, such as overtime or travel."),
    ] = ()

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, zone: str) -> str:
        if zone not in _zones():
            raise ValueError("no IANA time zone, such as Europe/Berlin")
        return zone

    @field_validator("started_at")
    @classmethod
    def _is_on_the_day(cls, started_at: dt.datetime | None, info: ValidationInfo) -> dt.datetime | None:
        day, zone = info.data.get("service_date"), info.data.get("time_zone")
        if started_at is None or day is None or zone is None:
            return started_at
        near = abs(started_at.date() - day) <= _A_DAY_OF_ANY_ZONE
        if not near or service_date(started_at, zone) != day:
            raise ValueError("not on the service_date in the time_zone")
        return started_at

    def item(self) -> TimeEntry:
        """As the canonical record, without its payload."""
        zone = zoneinfo.ZoneInfo(self.time_zone)
        started_at = self.started_at or dt.datetime.combine(self.service_date, dt.time.min, zone)
        return TimeEntry(
            id=_canonical(self.kind, self.id),
            revision=1,
            state=self.state,
            psa_user_id=self.psa_user_id,
            psa_project_id=self.psa_project_id,
            service_date=self.service_date,
            minutes=self.minutes,
            billable=self.billable,
            description=self.description,
            started_at=started_at.astimezone(dt.UTC),
            time_zone=self.time_zone,
            payload_id=0,
            task=self.task,
            work_types=tuple(sorted({name.lower() for name in self.work_types})),
        )


class ExpenseBody(_Recorded):
    """What somebody spent on a project."""

    kind: Literal["expense"]
    category: Annotated[Name, Field(description="Which the terms may limit.")]
    receipt: Annotated[Amount, Field(description="What the receipt says.")]
    reimbursement: Annotated[
        Amount | None, Field(description="What the employer pays back; the receipt's amount if it is not said.")
    ] = None

    def item(self) -> Expense:
        """As the canonical record, without its payload."""
        return Expense(
            id=_canonical(self.kind, self.id),
            revision=1,
            state=self.state,
            psa_user_id=self.psa_user_id,
            psa_project_id=self.psa_project_id,
            service_date=self.service_date,
            category=self.category,
            receipt=self.receipt.money(),
            reimbursement=(self.reimbursement or self.receipt).money(),
            billable=self.billable,
            description=self.description,
            payload_id=0,
        )


class MilestoneBody(_Work):
    """A milestone of a fixed fee. Approved means reached and accepted: ready to invoice."""

    kind: Literal["milestone"]
    contract_id: Annotated[Name, Field(description="The contract, by its code.")]
    component: Annotated[Name, Field(description="The component of its terms that has the fee.")] = MAIN
    amount: Annotated[Amount, Field(description="The part of the fee, in the contract's currency.")]
    label: Annotated[Prose, Field(description="What the invoice line says.")]

    def item(self) -> Milestone:
        """As the canonical record, without its payload."""
        return Milestone(
            id=_canonical(self.kind, self.id),
            revision=1,
            state=self.state,
            contract_id=self.contract_id,
            component=self.component,
            service_date=self.service_date,
            amount=self.amount.money(),
            label=self.label,
            payload_id=0,
        )


WorkItemBody = TimeEntryBody | ExpenseBody | MilestoneBody


def submission(body: WorkItemBody) -> Submission:
    """What a body says, with the payload that is kept of it."""
    item: WorkItem = body.item()
    return Submission(
        kind=body.kind,
        id=body.id,
        payload=body.model_dump(mode="json", exclude_none=True),
        item=item,
        source_version=body.source_version,
    )


def _canonical(kind: str, own_id: str) -> str:
    return f"{kind}:{API}:{own_id}"


@functools.cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())
