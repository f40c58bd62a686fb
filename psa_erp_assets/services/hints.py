"""Work off webhook deliveries: fetch what they point at, then mark them as handled.

A delivery whose object cannot be fetched holds up no other. Where the source gives no answer it is tried again for as
long as that lasts, with growing pauses; where it is the object itself that fails again and again, the delivery is given
up and becomes an exception item.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from psa_erp_assets.adapters.connectors import relayed_hints
from psa_erp_assets.adapters.connectors.clockify import hints as clockify
from psa_erp_assets.adapters.connectors.clockify.client import ClockifyClient
from psa_erp_assets.adapters.connectors.clockify.hints import Hint
from psa_erp_assets.adapters.connectors.hubspot import hints as hubspot
from psa_erp_assets.adapters.connectors.kantata import hints as kantata
from psa_erp_assets.adapters.http import SourceAuthError, SourceError, SourceThrottledError, SourceUnreachableError
from psa_erp_assets.adapters.store import deliveries, exceptions
from psa_erp_assets.domain.malformed import MalformedRecordError
from psa_erp_assets.services import extraction
from psa_erp_assets.services.scope import Scope

ATTEMPTS = 8
"""How often a delivery is tried whose object is what fails; with the pauses between them that is four minutes."""

_BACKOFF = dt.timedelta(seconds=2)
_LONGEST = dt.timedelta(minutes=10)
_SCOPE = "webhooks"
_PSA_OBJECTS = ("time_entry", "expense", "approval_request")
# The source's trouble and not the object's: it counts against no delivery.
_PASSING = (SourceUnreachableError, SourceThrottledError, SourceAuthError)

FetchOthers = Callable[[Mapping[str, set[str]], dt.datetime], int]
"""Fetches objects that are no time and no expenses, ids by type; returns how many objects have changed."""


@dataclass(frozen=True, slots=True)
class Drained:
    """How many deliveries were handled, how many failed and wait, and how many objects have changed."""

    handled: int
    failed: int
    revised: int


def drain(
    engine: Engine,
    psa: ClockifyClient,
    scope: Scope,
    *,
    now: dt.datetime,
    limit: int = 500,
    fetch_others: FetchOthers = lambda _wanted, _now: 0,
) -> Drained:
    """Handle the deliveries that are due. Those whose object cannot be fetched stay, and are tried again later."""
    with engine.connect() as connection:
        due = deliveries.due(connection, scope.tenant, now=now, limit=limit)
    if not due:
        return Drained(0, 0, 0)
    worker = _Drain(engine, psa, scope, fetch_others, now)
    try:
        return worker.handle(due)
    except (OperationalError, InterfaceError, PoolTimeoutError):
        raise
    except Exception:  # noqa: BLE001 - whatever it is, it must not hold up the others; each is tried on its own
        each = [worker.handle_or_postpone(delivery) for delivery in due]
    return Drained(sum(d.handled for d in each), sum(d.failed for d in each), sum(d.revised for d in each))


@dataclass(frozen=True, slots=True)
class _Drain:
    """One round of handling."""

    engine: Engine
    psa: ClockifyClient
    scope: Scope
    fetch_others: FetchOthers
    now: dt.datetime

    def handle(self, due: Sequence[deliveries.Due]) -> Drained:
        """Fetch what all of these point at, each object once."""
        hints: list[Hint] = []
        malformed = []
        for delivery in due:
            try:
                hints += hints_of(delivery)
            except MalformedRecordError as error:
                malformed.append(_sighting("malformed_record", delivery, error.reason))
        wanted: dict[str, set[str]] = defaultdict(set)
        for hint in hints:
            if hint.object_type not in _PSA_OBJECTS:
                wanted[hint.object_type].add(hint.object_id)
        for_psa = [hint for hint in hints if hint.object_type in _PSA_OBJECTS]
        received = extraction.fetch_hinted(self.engine, self.psa, self.scope, for_psa, now=self.now)
        changed = self.fetch_others(wanted, self.now) if wanted else 0
        with self.engine.begin() as connection:
            exceptions.open_or_touch(connection, self.scope.tenant, _SCOPE, malformed, self.now)
            again = [_object_id(d) for d in due if d.attempts]
            if again:
                quarantined = [("malformed_record", s.object_id) for s in malformed]
                exceptions.resolve_absent(connection, self.scope.tenant, _SCOPE, quarantined, self.now, looked_at=again)
            deliveries.mark_handled(connection, due, now=self.now)
        return Drained(len(due), 0, len(received.revised) + changed)

    def handle_or_postpone(self, delivery: deliveries.Due) -> Drained:
        """Handle one; where that fails it waits, or is given up."""
        try:
            return self.handle([delivery])
        except (OperationalError, InterfaceError, PoolTimeoutError):
            raise
        except _PASSING as error:
            self._postpone(delivery, min(delivery.attempts + 1, ATTEMPTS // 2), str(error))
        except Exception as error:  # noqa: BLE001 - a poison object is its own trouble and not the queue's
            # The text of an unforeseen error can hold business data; its type says enough.
            said = str(error) if isinstance(error, SourceError) else type(error).__name__
            if delivery.attempts + 1 >= ATTEMPTS:
                self._give_up(delivery, said)
            else:
                self._postpone(delivery, delivery.attempts + 1, said)
        return Drained(0, 1, 0)

    def _postpone(self, delivery: deliveries.Due, attempts: int, error: str) -> None:
        wait = min(_BACKOFF * 2**delivery.attempts, _LONGEST)
        with self.engine.begin() as connection:
            deliveries.postpone(connection, delivery, until=self.now + wait, attempts=attempts, error=error)

    def _give_up(self, delivery: deliveries.Due, error: str) -> None:
        with self.engine.begin() as connection:
            exceptions.open_or_touch(
                connection, self.scope.tenant, _SCOPE, [_sighting("webhook_quarantined", delivery, error)], self.now
            )
            deliveries.give_up(connection, delivery, now=self.now, attempts=delivery.attempts + 1, error=error)


def hints_of(delivery: deliveries.Due) -> list[Hint]:
    """What a delivery announces. Raises MalformedRecordError for one that cannot be read."""
    if delivery.source == "clockify":
        return clockify.hints_of(delivery.event, delivery.body)
    if delivery.source == "hubspot":
        return hubspot.hints_of(delivery.body)
    if delivery.source == "kantata":
        return kantata.hints_of(delivery.event, delivery.body)
    return relayed_hints.hints_of(delivery.event, delivery.body)


def _object_id(delivery: deliveries.Due) -> str:
    return f"webhook:{delivery.source}:{delivery.delivery_id}"


def _sighting(code: str, delivery: deliveries.Due, detail: str) -> exceptions.Sighting:
    return exceptions.Sighting(
        code=code, object_id=_object_id(delivery), detail=detail, evidence={"event": delivery.event}
    )
