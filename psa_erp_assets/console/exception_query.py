"""What the exception pages and their API have in common: the filter in the address, and how actions are answered."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import HTTPException, Path, Query
from pydantic import BeforeValidator, Field

from psa_erp_assets.console.reading import Code, EntityCode, Resolved
from psa_erp_assets.domain.faults import FaultClass, Owner
from psa_erp_assets.services.exception_cases import Wanted
from psa_erp_assets.services.exception_work import WorkRefusedError

_TEXT = r"^[^\x00-\x1f\x7f]{0,200}$"
Search = Annotated[str, Query(pattern=_TEXT, description="Part of the object's id, the detail or the cause.")]
Assignee = Annotated[
    str, Query(pattern=_TEXT, description="Whose they are: an account's id, or nobody; empty for everybody's.")
]


def _none_if_empty(value: object) -> object:
    # What a form sends for a choice that was not made.
    return None if value == "" else value


_EMPTY = BeforeValidator(_none_if_empty)
ClassName = Annotated[FaultClass | None, _EMPTY, Query(description="Class of the exception.")]
OwnerName = Annotated[Owner | None, _EMPTY, Query(description="Who clears it.")]
OlderThan = Annotated[
    Annotated[int, Field(ge=1, le=24 * 3_650)] | None, _EMPTY, Query(description="Open for so many hours at least.")
]
Overdue = Annotated[bool, Query(description="Only those that are later than their class allows.")]
_GROUP, _GROUP_SAID = r"^[a-z_]{1,60}/[^\x00-\x1f\x7f]{0,200}$", "A code and a cause, as code/cause."
GroupName = Annotated[str, Path(pattern=_GROUP, description=_GROUP_SAID)]
GroupAsked = Annotated[str, Query(pattern=_GROUP, description=_GROUP_SAID)]
"""The same as a query: what is between two slashes of an address cannot hold one (OpenAPI 3.1, path templating)."""
ItemId = Annotated[int, Path(ge=1, le=2**63 - 1, description="The exception's number.")]
RequestId = Annotated[int, Path(ge=1, le=2**63 - 1, description="The request's number.")]
NOBODY = "nobody"


def asked_for(  # noqa: PLR0917 - FastAPI reads the address into them by name
    code: Code = "",
    fault_class: ClassName = None,
    owner: OwnerName = None,
    entity: EntityCode = "",
    assignee: Assignee = "",
    older_than_hours: OlderThan = None,
    overdue: Overdue = False,
    search: Search = "",
    resolved: Resolved = False,
) -> Wanted:
    """The filter of an address."""
    return Wanted(
        group=code or None,
        fault_class=fault_class,
        owner=owner,
        legal_entity=entity or None,
        assignee={"": None, NOBODY: ""}.get(assignee, assignee),
        older_than=None if older_than_hours is None else dt.timedelta(hours=older_than_hours),
        overdue=overdue,
        search=search.strip() or None,
        resolved=resolved,
    )


@contextmanager
def refusals() -> Iterator[None]:
    """Answer 409 with the reason where an action is refused."""
    try:
        yield
    except WorkRefusedError as error:
        text = str(error)
        raise HTTPException(409, f"{text[:1].upper()}{text[1:]}.") from error
