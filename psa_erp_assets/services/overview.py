"""What operators look at first: what goes through, what waits, what is in trouble, and whether the ERP keeps up.

What belongs here: figures put together from what the other services keep. What does not: making any of them.
"""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping

from psa_erp_assets.adapters.store import audit_leaves, throughput
from psa_erp_assets.adapters.store import status as statements
from psa_erp_assets.domain.posting import Event
from psa_erp_assets.services.connections import ConnectionView, connections
from psa_erp_assets.services.exception_cases import totals
from psa_erp_assets.services.plain import to_plain
from psa_erp_assets.services.plan_report import count_waiting
from psa_erp_assets.services.scope import Scope
from psa_erp_assets.services.status import Status, status

HOURS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """How much passed one step: `by_hour` in each of the last 24 hours, the current one last, `today` since midnight
    UTC.
    """

    step: str
    today: int
    by_hour: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassCount:
    """Open exceptions of one class."""

    fault_class: str
    items: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditState:
    """Where the audit log stands. `holds` is what the last verification found, None before the first."""

    checkpoint: int | None
    signed_at: dt.datetime | None
    verified_at: dt.datetime | None
    holds: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """All of it, as far as somebody may see it.

    `equal_webhooks` said what another had said already, and `found_again` are postings whose answer was lost and which
    the ERP had under their key: both within the last 24 hours, and neither became a second entry. What is of no legal
    entity (payloads, webhooks, the sources' connections) is counted for everybody.
    """

    status: Status
    flows: tuple[Flow, ...]
    since: dt.datetime
    equal_webhooks: int
    found_again: int
    exceptions_by_class: tuple[ClassCount, ...]
    exceptions_overdue: int
    plans_waiting: int
    connections: tuple[ConnectionView, ...]
    webhooks_quarantined: int
    audit: AuditState

    @property
    def busiest_hour(self) -> int:
        """The most that passed any step in an hour."""
        return max((number for flow in self.flows for number in flow.by_hour), default=0)

    def to_dict(self) -> dict[str, Any]:
        """All of it as a JSON body."""
        return to_plain(self)


def overview(connection: Connection, scope: Scope, entities: frozenset[str] | None = None) -> Overview:
    """Put it together by the database's clock. Consistent when the caller's transaction is REPEATABLE READ."""
    tenant, now = scope.tenant, statements.database_time(connection)
    since = now.astimezone(dt.UTC).replace(minute=0, second=0, microsecond=0) - dt.timedelta(hours=HOURS - 1)
    stands = status(connection, tenant, entities)
    by_class: Counter[str] = Counter()
    for group in stands.exceptions:
        by_class[group.fault_class] += group.items
    outside = connections(connection, tenant, entities)
    return Overview(
        status=stands,
        flows=(
            _flow("received", throughput.received(connection, tenant, since), since, now),
            _flow("decided", throughput.decided(connection, tenant, since, entities), since, now),
            _flow("posted", throughput.events(connection, tenant, since, Event.CONFIRMED, entities), since, now),
            _flow("verified", throughput.events(connection, tenant, since, Event.VERIFIED, entities), since, now),
        ),
        since=since,
        equal_webhooks=throughput.equal_webhooks(connection, tenant, since),
        found_again=throughput.found_again(connection, tenant, since, entities),
        exceptions_by_class=tuple(
            ClassCount(fault_class=name, items=number) for name, number in by_class.most_common()
        ),
        exceptions_overdue=totals(connection, scope, entities=entities, now=now).overdue,
        plans_waiting=count_waiting(connection, tenant, entities),
        connections=outside.connections,
        webhooks_quarantined=outside.quarantined,
        audit=_audit(connection, tenant),
    )


def _flow(step: str, rows: Sequence[RowMapping], since: dt.datetime, now: dt.datetime) -> Flow:
    numbers: Mapping[dt.datetime, int] = {row["hour"].astimezone(dt.UTC): row["number"] for row in rows}
    hours = [since + dt.timedelta(hours=hour) for hour in range(HOURS)]
    today = now.astimezone(dt.UTC).date()
    return Flow(
        step=step,
        today=sum(number for hour, number in numbers.items() if hour.date() == today),
        by_hour=tuple(numbers.get(hour, 0) for hour in hours),
    )


def _audit(connection: Connection, tenant: str) -> AuditState:
    signed = audit_leaves.latest_checkpoint(connection, tenant)
    verified = audit_leaves.latest_findings(connection, tenant)
    return AuditState(
        checkpoint=signed[0].number if signed else None,
        signed_at=signed[1] if signed else None,
        verified_at=verified["verified_at"] if verified else None,
        holds=verified["holds"] if verified else None,
    )
