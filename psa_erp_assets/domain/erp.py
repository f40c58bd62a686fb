"""What the posting engine and an ERP say to each other, vendor-neutral. A connector implements `ErpClient`.

The distinction that everything rests on: *rejected* and *throttled* are definite (the ERP says that it did nothing);
everything else that is not *accepted* is ambiguous.
"""

import datetime as dt
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from psa_erp_assets.domain.effects import Effect, EffectType
from psa_erp_assets.domain.money import Money


class ErpClass(enum.StrEnum):
    """What an ERP offers against duplicates, strongest first."""

    NATIVE_KEY = "native_key"
    EXTERNAL_ID = "external_id"
    SEARCHABLE_FIELD = "searchable_field"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """Make the effect's document, stamped with `key`."""

    key: str
    effect: Effect


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdraw:
    """Remove the draft document `erp_id` that was made under `target_key`, if no other document has taken it up."""

    key: str
    target_key: str
    erp_id: str
    erp_company: str
    effect_type: EffectType


Command = Create | Withdraw


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The ERP did all of it. `erp_ids` by key of the command; a withdrawn document's former id."""

    erp_ids: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The ERP says that it did none of it. `code` is one of `faults.FAULTS`, or "on_document" for a withdrawal."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttled:
    """The ERP refused for load and did nothing. `retry_after` as the ERP asked, in seconds, if it did."""

    retry_after: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ambiguous:
    """Nobody knows: time-out, reset, 5xx, an answer that cannot be read. `evidence` says what was seen."""

    evidence: str


Answer = Accepted | Rejected | Throttled | Ambiguous


@dataclass(frozen=True, slots=True, kw_only=True)
class ErpDocument:
    """A billing line or cost transaction as the ERP has it now.

    `document` names the invoice or posted journal entry that has taken it up, None while it is a draft on its own.
    `document_state` is that document's state in the ERP's words; `posted` is true once the ERP has posted it. `party`
    and `analytic` are the ERP's customer and project, None where they were not read.
    """

    key: str
    erp_id: str
    erp_company: str
    effect_type: EffectType
    amount: Money
    minutes: int
    date: dt.date
    document: str | None
    document_state: str | None
    posted: bool
    tax_amount: Decimal | None = None
    party: str | None = None
    analytic: str | None = None


class LookUpFailedError(Exception):
    """The look-up itself had no usable answer. A failed read is not an empty read."""


class ErpClient(Protocol):
    """One ERP. Calls are synchronous; no call raises for what an `Answer` can say."""

    @property
    def erp_class(self) -> ErpClass:
        """What this server offers against duplicates, found out from the server itself."""
        ...

    def submit(self, commands: Sequence[Command]) -> Answer:
        """Send commands of one company, effect type and kind as one all-or-nothing request."""
        ...

    def look_up(
        self, erp_company: str, effect_type: EffectType, keys: Sequence[str]
    ) -> Mapping[str, Sequence[ErpDocument]]:
        """All documents under each key; a key that has none maps to an empty sequence.

        Raises LookUpFailedError when the ERP gave no usable answer.
        """
        ...
