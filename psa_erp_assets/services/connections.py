"""How the connections to the outside systems fare: kept by whichever process asks them, and shown to operators."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, RowMapping

from psa_erp_assets.adapters.http import Pressure
from psa_erp_assets.adapters.store import connection_states, exceptions
from psa_erp_assets.adapters.store import status as statements
from psa_erp_assets.adapters.store.connection_states import ConnectionState
from psa_erp_assets.services.plain import to_plain
from psa_erp_assets.services.posting_policy import EngineReport
from psa_erp_assets.services.seen_records import erp_companies

if TYPE_CHECKING:
    from psa_erp_assets.services.runtime import Runtime

HIGH_WATER = 5_000
"""Deliveries that wait, from which on a source's sweeps leave the field to them. Receiving goes on."""

_FAULT_OF = {"SourceAuthError": "source_auth", "SourceUnreachableError": "source_unreachable"}
_SCOPE = "connections"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where an incremental read of the connection stands."""

    name: str
    value: str
    moved_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionView:
    """How a connection was last found, and what of it waits.

    `health` is healthy, failing (its last request failed), resting (the circuit is open or the ERP asked for a pause)
    or unknown (nothing was asked yet). `retries_left` and `tokens_left` are those of the process that reported last.
    `limits` are postings a request, as [now, at most], by effect type. `waiting` counts webhooks that are not handled;
    `above_high_water` says whether they are so many that sweeps stand back, and `oldest_waiting_seconds`
    is the age of the first.
    """

    name: str
    health: str
    circuit: str
    requests_per_second: int | None
    tokens_left: int | None
    retries_left: int | None
    throttled: int
    limits: Mapping[str, Sequence[int]]
    paused_until: dt.datetime | None
    succeeded_at: dt.datetime | None
    failed_at: dt.datetime | None
    error: str | None
    reported_at: dt.datetime | None
    cursors: tuple[Cursor, ...]
    waiting: int
    high_water: int
    above_high_water: bool
    oldest_waiting_seconds: int | None
    most_attempts: int
    last_webhook_at: dt.datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """All that may be seen, at `as_of` by the database's clock; `quarantined` webhooks wait for somebody."""

    as_of: dt.datetime
    connections: tuple[ConnectionView, ...]
    quarantined: int

    def to_dict(self) -> dict[str, Any]:
        """All of it as a JSON body."""
        return to_plain(self)


def connections(connection: Connection, tenant: str, entities: frozenset[str] | None = None) -> Connections:
    """How every connection fares that was asked, that has sent a webhook or that has a cursor.

    For somebody whose role is for some legal `entities` these are the sources, which all share, and the ERP's companies
    of those.
    """
    now = statements.database_time(connection)
    states = {row["name"]: row for row in connection_states.all_of(connection, tenant)}
    webhooks = {row["source"]: row for row in connection_states.waiting_by_source(connection, tenant)}
    cursors: dict[str, list[Cursor]] = {}
    for row in statements.last_reads(connection, tenant):
        moved = Cursor(name=row["name"], value=row["value"], moved_at=row["updated_at"])
        cursors.setdefault(row["source"], []).append(moved)
    names = sorted({*states, *webhooks, *cursors})
    if entities is not None:
        mine = {f"erp:{company}" for company in erp_companies(connection, tenant, entities)}
        names = [name for name in names if name in mine or not name.startswith("erp:")]
    quarantined = exceptions.list_items(connection, tenant, code="webhook_quarantined")
    return Connections(
        as_of=now,
        connections=tuple(
            _view(name, states.get(name), webhooks.get(name), tuple(cursors.get(name, ())), now) for name in names
        ),
        quarantined=len(quarantined),
    )


def is_above_high_water(connection: Connection, tenant: str, source: str) -> bool:
    """Whether so many of a source's webhooks wait that its sweep, which would read the same, stands back."""
    waiting = {row["source"]: row["waiting"] for row in connection_states.waiting_by_source(connection, tenant)}
    return int(waiting.get(source, 0)) >= HIGH_WATER


def note_sources(runtime: "Runtime") -> None:
    """Keep how this process found its sources; an open item says which gives no answer or refuses the credentials."""
    found = {name: api.pressure() for name, api in runtime.apis.items()}
    asked = {name: pressure for name, pressure in found.items() if pressure.succeeded_at or pressure.failed_at}
    if not asked:
        return
    now, tenant = runtime.clock(), runtime.settings.tenant
    sightings = [
        exceptions.Sighting(
            code=_FAULT_OF[pressure.error], object_id=f"connection:{name}", detail=f"the last request: {pressure.error}"
        )
        for name, pressure in asked.items()
        if pressure.error in _FAULT_OF
    ]
    with runtime.engine.begin() as connection:
        states = [_of_source(name, pressure) for name, pressure in asked.items()]
        connection_states.put(connection, tenant, states, by=runtime.worker, now=now)
        exceptions.open_or_touch(connection, tenant, _SCOPE, sightings, now)
        exceptions.resolve_absent(
            connection,
            tenant,
            _SCOPE,
            [(s.code, s.object_id) for s in sightings],
            now,
            looked_at=[f"connection:{name}" for name in asked],
        )


def note_erp(engine: Engine, tenant: str, report: EngineReport, *, by: str, now: dt.datetime) -> None:
    """Keep how a run of the posting engine found the ERP's companies."""
    states = []
    for company, found in report.pressure.items():
        good = found.trouble is None
        states.append(
            ConnectionState(
                name=f"erp:{company}",
                circuit="closed" if found.resumes_at is None or found.resumes_at <= now else "open",
                limits=found.limits,
                paused_until=found.resumes_at,
                succeeded_at=now if good and found.answered else None,
                failed_at=None if good else now,
                error=found.trouble,
                throttled=found.throttled,
            )
        )
    if states:
        with engine.begin() as connection:
            connection_states.put(connection, tenant, states, by=by, now=now)


def _of_source(name: str, pressure: Pressure) -> ConnectionState:
    return ConnectionState(
        name=name,
        circuit=pressure.circuit.value,
        requests_per_second=int(pressure.requests_per_second),
        tokens_left=pressure.tokens_left,
        retries_left=pressure.retries_left,
        throttled=pressure.throttled,
        succeeded_at=pressure.succeeded_at,
        failed_at=pressure.failed_at,
        error=pressure.error,
    )


def _view(
    name: str, state: RowMapping | None, webhooks: RowMapping | None, cursors: tuple[Cursor, ...], now: dt.datetime
) -> ConnectionView:
    oldest = webhooks["oldest_at"] if webhooks else None
    waiting = int(webhooks["waiting"]) if webhooks else 0
    return ConnectionView(
        name=name,
        health=_health(state, now),
        circuit=state["circuit"] if state else "closed",
        requests_per_second=state["requests_per_second"] if state else None,
        tokens_left=state["tokens_left"] if state else None,
        retries_left=state["retries_left"] if state else None,
        throttled=state["throttled"] if state else 0,
        limits=state["limits"] if state else {},
        paused_until=state["paused_until"] if state else None,
        succeeded_at=state["succeeded_at"] if state else None,
        failed_at=state["failed_at"] if state else None,
        error=state["error"] if state else None,
        reported_at=state["reported_at"] if state else None,
        cursors=cursors,
        waiting=waiting,
        high_water=HIGH_WATER,
        above_high_water=waiting >= HIGH_WATER,
        oldest_waiting_seconds=None if oldest is None else max(0, int((now - oldest).total_seconds())),
        most_attempts=int(webhooks["attempts"]) if webhooks else 0,
        last_webhook_at=webhooks["last_received_at"] if webhooks else None,
    )


def _health(state: RowMapping | None, now: dt.datetime) -> str:
    if state is None:
        return "unknown"
    if state["circuit"] != "closed" or (state["paused_until"] is not None and state["paused_until"] > now):
        return "resting"
    return "failing" if state["error"] else "healthy"
