"""Work off webhook deliveries: fetch what they point at, then mark them as handled."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine

from psa_erp_assets.adapters.connectors.clockify.client import ClockifyClient
from psa_erp_assets.adapters.connectors.clockify.hints import Hint, hints_of
from psa_erp_assets.adapters.http import SourceError
from psa_erp_assets.adapters.store import deliveries, exceptions
from psa_erp_assets.domain.malformed import MalformedRecordError
from psa_erp_assets.services import extraction
from psa_erp_assets.services.scope import Scope

_BACKOFF = dt.timedelta(seconds=2)
_LONGEST = dt.timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Drained:
    """How many deliveries were handled, how many failed and wait, and how many entries have a new revision."""

    handled: int
    failed: int
    revised: int


def drain(engine: Engine, psa: ClockifyClient, scope: Scope, *, now: dt.datetime, limit: int = 500) -> Drained:
    """Handle the deliveries that are due. Those whose object cannot be fetched stay, and are tried again later."""
    with engine.connect() as connection:
        due = deliveries.due(connection, scope.tenant, now=now, limit=limit)
    if not due:
        return Drained(0, 0, 0)
    try:
        return _handle(engine, psa, scope, due, now)
    except SourceError:
        # One object that cannot be fetched must not hold up the others.
        each = [_handle_or_postpone(engine, psa, scope, delivery, now) for delivery in due]
    return Drained(sum(d.handled for d in each), sum(d.failed for d in each), sum(d.revised for d in each))


def _handle_or_postpone(
    engine: Engine, psa: ClockifyClient, scope: Scope, delivery: deliveries.Due, now: dt.datetime
) -> Drained:
    try:
        return _handle(engine, psa, scope, [delivery], now)
    except SourceError as error:
        wait = min(_BACKOFF * 2 ** min(delivery.attempts, 12), _LONGEST)
        with engine.begin() as connection:
            deliveries.postpone(connection, delivery, until=now + wait, error=str(error))
        return Drained(0, 1, 0)


def _handle(
    engine: Engine, psa: ClockifyClient, scope: Scope, due: Sequence[deliveries.Due], now: dt.datetime
) -> Drained:
    hints: list[Hint] = []
    malformed = []
    for delivery in due:
        try:
            hints += hints_of(delivery.event, delivery.body)
        except MalformedRecordError as error:
            malformed.append(
                exceptions.Sighting(
                    code="malformed_record",
                    object_id=f"webhook:{delivery.source}:{delivery.delivery_id}",
                    detail=error.reason,
                    evidence={"event": delivery.event},
                )
            )
    received = extraction.fetch_hinted(engine, psa, scope, hints, now=now)
    with engine.begin() as connection:
        exceptions.open_or_touch(connection, scope.tenant, "webhooks", malformed, now)
        deliveries.mark_handled(connection, due, now=now)
    return Drained(len(due), 0, len(received.revised))
