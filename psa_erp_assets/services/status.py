"""Where the sync stands, in counts: what came in, what waits, what is posted, what is in trouble."""

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from psa_erp_assets.adapters.store import status as statements
from psa_erp_assets.services.exception_items import FaultGroup, group_exceptions
from psa_erp_assets.services.plain import to_plain


@dataclass(frozen=True, slots=True)
class EntriesInState:
    """How many time entries have this state now."""

    state: str
    entries: int


@dataclass(frozen=True, slots=True)
class DirtyPartition:
    """Entries of a partition that changed after they were last planned."""

    legal_entity: str
    service_month: str
    entries: int
    oldest_at: dt.datetime


@dataclass(frozen=True, slots=True)
class PostingsInState:
    """How many postings of an effect type are in this state."""

    state: str
    effect_type: str
    postings: int


@dataclass(frozen=True, slots=True)
class LastRead:
    """Where an incremental read of a source stands."""

    source: str
    name: str
    value: str
    updated_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The state of one tenant at `as_of`, by the database's clock.

    `oldest_unprocessed_at` is when the oldest of what waits came in, an unhandled delivery or an unplanned change,
    and `oldest_unprocessed_seconds` its age; both are None when nothing waits.
    """

    as_of: dt.datetime
    payloads: int
    deliveries_pending: int
    oldest_unprocessed_at: dt.datetime | None
    oldest_unprocessed_seconds: int | None
    entries: tuple[EntriesInState, ...]
    dirty_partitions: tuple[DirtyPartition, ...]
    postings: tuple[PostingsInState, ...]
    exceptions: tuple[FaultGroup, ...]
    last_reads: tuple[LastRead, ...]

    @property
    def entries_dirty(self) -> int:
        """Entries that wait to be planned."""
        return sum(p.entries for p in self.dirty_partitions)

    @property
    def exceptions_open(self) -> int:
        """Items in trouble."""
        return sum(g.items for g in self.exceptions)

    def postings_in(self, *states: str) -> int:
        """Postings in any of these states."""
        return sum(p.postings for p in self.postings if p.state in states)

    def to_dict(self) -> dict[str, Any]:
        """All of it as a JSON body."""
        return to_plain(self)


def status(connection: Connection, tenant: str, entities: Collection[str] | None = None) -> Status:
    """Count everything of a tenant. Consistent when the caller's transaction is REPEATABLE READ.

    With `entities` only what is of these; payloads and deliveries, which are of none, are counted all the same.
    """
    pending = statements.count_pending_deliveries(connection, tenant)
    dirty = tuple(DirtyPartition(**row) for row in statements.dirty_partitions(connection, tenant, entities))
    waiting = [at for at in (pending["oldest_at"], *(p.oldest_at for p in dirty)) if at is not None]
    now, oldest = statements.database_time(connection), min(waiting, default=None)
    return Status(
        as_of=now,
        payloads=statements.count_payloads(connection, tenant),
        deliveries_pending=pending["deliveries"],
        oldest_unprocessed_at=oldest,
        # A source's clock ahead of the database's makes no negative age.
        oldest_unprocessed_seconds=None if oldest is None else max(0, int((now - oldest).total_seconds())),
        entries=tuple(EntriesInState(**row) for row in statements.count_heads(connection, tenant, entities)),
        dirty_partitions=dirty,
        postings=tuple(PostingsInState(**row) for row in statements.count_postings(connection, tenant, entities)),
        exceptions=group_exceptions(connection, tenant, entities),
        last_reads=tuple(LastRead(**row) for row in statements.last_reads(connection, tenant)),
    )
