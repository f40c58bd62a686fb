"""The parameters of the mappings' pages and API, and the tabs that there are."""

import datetime as dt
from typing import Annotated, Literal

from fastapi import Form, Path, Query

from psa_erp_assets.domain.links import CANONICAL, LINK_KINDS, MERGEABLE

TABS = ("proposals", "mappings", "conflicts", "orphans", "drift", "decisions")
ObjectTypeName = Literal["employee", "project", "contract", "customer"]
Tab = Literal["proposals", "mappings", "conflicts", "orphans", "drift", "decisions"]
ProposalState = Literal["proposed", "accepted", "rejected", "superseded"]

_PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
_IDS = r"^[^\x00\x7f]*$"
TabName = Annotated[Tab, Query(description="Which list.")]
StateFilter = Annotated[ProposalState, Query(description="State of the proposals.")]
TypeFilter = Annotated[ObjectTypeName | Literal[""], Query(alias="type", description="Object type; empty for all.")]
MethodFilter = Annotated[
    Literal["", "exact", "fuzzy", "by_hand"], Query(description="How the match was found; empty for all.")
]
Search = Annotated[str, Query(max_length=120, pattern=_PRINTABLE, description="A part of an id or a name.")]
PageIndex = Annotated[int, Query(ge=1, le=10_000, alias="page", description="Page, from 1.")]
ProposalId = Annotated[int, Path(ge=1, le=2**62, description="The proposal's id.")]
DecisionId = Annotated[int, Path(ge=1, le=2**62, description="The decision's id.")]
Why = Annotated[str, Form(max_length=500, pattern=_PRINTABLE)]
Typed = Annotated[str, Form(max_length=2_000, pattern=_IDS)]
DayTyped = Annotated[str, Form(max_length=10)]
DayAsked = Annotated[str, Query(max_length=10, description="A day, as 2026-09-01; empty for none.")]
IdsAsked = Annotated[str, Query(max_length=2_000, pattern=_IDS)]

KIND_NAMES = {f"{kind.object_type}/{kind.system}": f"{kind.source} → {kind.canonical}" for kind in LINK_KINDS.values()}
MERGE_NAMES = {f"{kind}/{CANONICAL}": f"{kind} → {kind}" for kind in MERGEABLE}


def day(text: str) -> dt.date | None:
    """A day as somebody typed it; None for nothing. Raises ValueError for what is no day."""
    return dt.date.fromisoformat(text.strip()) if text.strip() else None


def ids(text: str) -> tuple[str, ...]:
    """Ids that are separated by commas, spaces or lines, each once."""
    return tuple(dict.fromkeys(text.replace(",", " ").split()))
