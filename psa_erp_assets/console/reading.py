"""What the pages and the API have in common: how they read, and the parameters that they take."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Path, Query
from sqlalchemy import Connection, Engine

from psa_erp_assets.domain.faults import FaultClass, Owner
from psa_erp_assets.services.listings import LAST_PAGE

# An empty value is what a form sends for a choice that was not made. No pattern lets a NUL through, which
# PostgreSQL would refuse.
PageNumber = Annotated[int, Query(ge=1, le=LAST_PAGE, description="Page, from 1.")]
StateName = Annotated[str, Query(pattern=r"^[a-z_]{0,30}$", description="State, such as verified; empty for all.")]
EntityCode = Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{0,30}$", description="Legal entity; empty for all.")]
Month = Annotated[str, Query(pattern=r"^(\d{4}-\d{2})?$", description="Service month, as 2026-09; empty for all.")]
Pending = Annotated[bool, Query(description="Only deliveries that wait to be handled.")]
Resolved = Annotated[bool, Query(description="Resolved items instead of open ones.")]
Code = Annotated[str, Query(pattern=r"^[a-z_]{0,60}$", description="Code of the exception; empty for all.")]
ClassName = Annotated[FaultClass | None, Query(description="Class of the exception.")]
OwnerName = Annotated[Owner | None, Query(description="Who clears it.")]
PostingKey = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="The posting's key.")]
# Vendors' ids are printable; whatever is not cannot be the id of anything.
ENTRY_ID = r"^[^\x00-\x1f\x7f]{1,300}$"
EntryId = Annotated[str, Path(pattern=ENTRY_ID, description="Canonical id, or the vendor's own.")]


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A connection that sees one state of the database throughout and cannot write."""
    reading = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with reading.connect() as connection:
        yield connection
