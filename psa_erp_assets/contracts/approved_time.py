"""Canonical approved time with what is decided about it: the boundary before the plan."""

import pandas as pd

from psa_erp_assets.contracts.frames import Contract, each_row, table_schema, together
from psa_erp_assets.contracts.lake_tables import APPROVED_TIME
from psa_erp_assets.domain.decision import Outcome
from psa_erp_assets.domain.faults import FAULTS

_SHOWN = ("entry_id", "legal_entity", "service_date", "employee_id", "contract_id", "minutes", "outcome")


def _in_its_month(frame: pd.DataFrame) -> "pd.Series[bool]":
    return frame["service_date"].astype(str).str[:7] == frame["service_month"]


def _billed_when_posted(frame: pd.DataFrame) -> "pd.Series[bool]":
    return (frame["outcome"] == Outcome.POST) == frame["bill_amount"].notna()


def _known_codes(frame: pd.DataFrame) -> "pd.Series[bool]":
    return frame["hold_codes"].map(lambda codes: set(codes) <= FAULTS.keys()).astype(bool)


def _nothing_held(frame: pd.DataFrame) -> "pd.Series[bool]":
    return frame["hold_codes"].map(len) == 0


DECIDED = Contract(
    name="approved_time_is_decided",
    description="Every approved entry is decided: posted with an amount, not billable, or held for a known reason.",
    table=APPROVED_TIME,
    schema=table_schema(
        APPROVED_TIME,
        unique=["entry_id"],
        accepted={"outcome": {o.value for o in Outcome} - {Outcome.NONE.value}},
        checks=[
            each_row("minutes are above zero", lambda f: f["minutes"] > 0),
            each_row("the service date is in the service month", _in_its_month),
            each_row("an entry has a bill amount exactly if it is posted", _billed_when_posted),
            each_row("an amount has a currency", lambda f: together(f, "bill_amount", "bill_currency")),
            each_row("a cost has a currency", lambda f: together(f, "cost_amount", "cost_currency")),
            each_row("a hold has a code that is known", _known_codes),
        ],
    ),
    columns=_SHOWN,
)

CAN_BE_POSTED = Contract(
    name="every_approved_entry_can_be_posted",
    description="No approved entry is held. A failing row is an entry that waits, with the reason; it posts by itself "
    "when the reason is gone.",
    table=APPROVED_TIME,
    schema=table_schema(APPROVED_TIME, checks=[each_row("nothing holds the entry", _nothing_held)]),
    expected_dirt=True,
    # No more than a dialog has room for: the next step is what the reader came for.
    columns=("entry_id", "legal_entity", "service_date", "minutes", "hold_codes"),
    next_step=lambda row: " ".join(FAULTS[code].next_step for code in row.get("hold_codes") or () if code in FAULTS),
)

CONTRACTS = (DECIDED, CAN_BE_POSTED)
