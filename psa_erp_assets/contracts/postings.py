"""The ledger of effects, draft invoice lines and cost transactions alike: the boundary to the ERP."""

import pandas as pd

from psa_erp_assets.contracts.frames import Contract, each_row, table_schema
from psa_erp_assets.contracts.lake_tables import POSTINGS
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.posting import WAITS_FOR_HUMAN, Leg, Operation, State

_SHOWN = ("key", "legal_entity", "effect_type", "leg", "object_id", "amount", "currency", "minutes", "state", "erp_id")
_IN_ERP = [State.CONFIRMED.value, State.VERIFIED.value, State.DRIFT.value]


def _signed(frame: pd.DataFrame) -> "pd.Series[bool]":
    """Amount and minutes are not of opposite signs, and reversals and withdrawals undo what they take back.

    That is time, but for the reversal of a reversal. What is no time has an amount of either sign: a refunded expense,
    revenue that is corrected.
    """
    amounts, minutes = frame["amount"].map(_sign), frame["minutes"].map(_sign)
    undoes = 1 - 2 * (frame["takes_back_minutes"].fillna(1) > 0).astype(int)
    wanted = undoes.where(frame["leg"] != Leg.ORIGINAL, 1)
    return (minutes == 0) | ((minutes == wanted) & ((amounts == wanted) | (amounts == 0)))


def _sign(value: object) -> int:
    return (value > 0) - (value < 0)  # type: ignore[operator]  # decimals and integers alike


def _known_in_erp(frame: pd.DataFrame) -> "pd.Series[bool]":
    created = frame["operation"] == Operation.CREATE
    return ~(frame["state"].isin(_IN_ERP) & created) | frame["erp_id"].notna()


def _nobody_needed(frame: pd.DataFrame) -> "pd.Series[bool]":
    return ~frame["state"].isin([state.value for state in WAITS_FOR_HUMAN])


SENT_AS_PLANNED = Contract(
    name="postings_are_whole",
    description="Every posting has a key of its own, a known state, and signs that fit its leg; what is in the ERP "
    "has the id that it has there.",
    table=POSTINGS,
    schema=table_schema(
        POSTINGS,
        unique=["key"],
        accepted={
            "effect_type": {kind.value for kind in EffectType},
            "leg": {leg.value for leg in Leg},
            "operation": {operation.value for operation in Operation},
            "state": {state.value for state in State},
        },
        checks=[
            each_row("minutes and amount have the sign of the leg", _signed),
            each_row("what is in the ERP has an id there", _known_in_erp),
        ],
    ),
    columns=_SHOWN,
)

NEEDS_NOBODY = Contract(
    name="no_posting_waits_for_a_person",
    description="No posting is held, rejected, in conflict, doubled or drifted. A failing row is on the exceptions "
    "page with its next step.",
    table=POSTINGS,
    schema=table_schema(POSTINGS, checks=[each_row("nobody has to look at it", _nobody_needed)]),
    expected_dirt=True,
    columns=_SHOWN,
)

CONTRACTS = (SENT_AS_PLANNED, NEEDS_NOBODY)
