"""Figures about the sync, read from the store at each scrape, so that they are right whichever process did the work.

Runs of Dagster live for seconds; what they count in memory nobody would ever scrape. So a counter here counts rows that
any process has written since this reader began, in bounded windows, and a gauge reads an index. What needs a look at a
whole table is read once a minute at most, and what takes long less often still. No statement takes longer than a few
seconds: a part that does is left out and says so, and everything else is there.
"""

import datetime as dt
import logging
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, RowMapping
from sqlalchemy.exc import SQLAlchemyError

from psa_erp_assets.adapters.store import audit_leaves, audit_sources, connection_states, figures, status
from psa_erp_assets.domain.faults import FAULTS
from psa_erp_assets.services.exception_cases import late_since
from psa_erp_assets.services.metric_families import BUCKETS_SECONDS, FAMILIES
from psa_erp_assets.services.scope import Scope

_STATEMENT_SECONDS = 5
_OFTEN, _RARELY = dt.timedelta(0), dt.timedelta(seconds=60)
# A part that takes longer than a moment rests for so many times as long, so that scrapes slow nothing down.
_QUICK, _SHARE, _LONGEST = dt.timedelta(milliseconds=50), 50, dt.timedelta(minutes=5)
# A row's number is given before its transaction commits. After so long it has.
_SETTLES = dt.timedelta(seconds=10)

logger = logging.getLogger(__name__)

_Read = Callable[[Connection, dt.datetime], "list[Sample]"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a gauge or a counter, with the values of its labels in the family's order."""

    name: str
    labels: tuple[str, ...]
    value: float


@dataclass(slots=True)
class Distribution:
    """How often which duration was seen: `counts` by bucket, the last one for what is beyond all bounds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_SECONDS) + 1))
    total: float = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BUCKETS_SECONDS, seconds)] += 1
        self.total += seconds


class Figures:
    """The figures of one tenant, for one server. Safe to be read by several threads."""

    def __init__(self, engine: Engine, scope: Scope, clock: Callable[[], dt.datetime]) -> None:
        self._engine, self._scope, self._clock = engine, scope, clock
        self._lock = threading.Lock()
        self._events: int | None = None
        self._sections: int | None = None
        self._attempts: Counter[tuple[str, ...]] = Counter()
        self._planned: Counter[tuple[str, ...]] = Counter()
        self._last: dict[str, list[Sample] | None] = {}
        self._next: dict[str, dt.datetime] = {}
        self.calls: dict[tuple[str, ...], Distribution] = {}

    def read(self) -> list[Sample]:
        """All figures as they are now. Does not raise where the store cannot be read: `figures_up` says so."""
        with self._lock:
            now = self._clock()
            samples: list[Sample] = []
            for part, read, rest in (
                ("backlog", self._backlog, _OFTEN),
                ("work", self._work, _OFTEN),
                ("connections", self._connections, _OFTEN),
                ("exceptions", self._exceptions, _OFTEN),
                ("outbox", self._outbox, _OFTEN),
                ("postings", self._postings, _RARELY),
                ("audit", self._audit, _RARELY),
            ):
                if part not in self._next or now >= self._next[part]:
                    began = time.perf_counter()
                    self._last[part] = self._part(part, read, now)
                    took = dt.timedelta(seconds=time.perf_counter() - began)
                    self._next[part] = now + max(rest, min(took * _SHARE, _LONGEST) if took > _QUICK else _OFTEN)
                found = self._last[part]
                samples.append(_sample("figures_up", 0 if found is None else 1, part))
                samples += found or []
            return samples

    def _part(self, part: str, read: _Read, now: dt.datetime) -> list[Sample] | None:
        try:
            with self._engine.begin() as connection:
                figures.limit_time(connection, _STATEMENT_SECONDS)
                return read(connection, now)
        except SQLAlchemyError as error:
            # The message of a driver can repeat parameters; its type says enough.
            logger.warning("the figures of %s cannot be read (%s)", part, type(error).__name__)
            return None

    def _backlog(self, connection: Connection, now: dt.datetime) -> list[Sample]:
        tenant = self._scope.tenant
        found = [_sample("inbox_payloads", figures.payloads(connection))]
        pending = figures.pending_by_source(connection, tenant)
        found += _counted(pending, "source", "deliveries", "deliveries_pending")
        found += _aged(pending, "source", "deliveries_oldest_age_seconds", now)
        dirty: Counter[str] = Counter()
        oldest: dict[str, dt.datetime] = {}
        for row in status.dirty_partitions(connection, tenant):
            entity = row["legal_entity"]
            dirty[entity] += row["entries"]
            oldest[entity] = min(row["oldest_at"], oldest.get(entity, row["oldest_at"]))
        found += [_sample("entries_dirty", number, entity) for entity, number in dirty.items()]
        found += [_sample("entries_dirty_oldest_age_seconds", _age(at, now), entity) for entity, at in oldest.items()]
        waiting = figures.waiting_plans(connection, tenant)
        found.append(_sample("plans_waiting", waiting["plans"]))
        found.append(_sample("plans_waiting_oldest_age_seconds", _age(waiting["oldest_at"], now)))
        for row in status.last_reads(connection, tenant):
            found.append(
                _sample("last_read_timestamp_seconds", row["updated_at"].timestamp(), row["source"], row["name"])
            )
        return found

    def _work(self, connection: Connection, now: dt.datetime) -> list[Sample]:
        """Count what has been written since the last reading, and give the sums."""
        tenant = self._scope.tenant
        if self._events is None or self._sections is None:
            self._events, self._sections = figures.last_event(connection), figures.last_section(connection)
        events = figures.settled_event(connection, self._events, now - _SETTLES)
        sections = figures.settled_section(connection, self._sections, now - _SETTLES)
        attempts = figures.attempts(connection, tenant, self._events, events)
        planned = figures.planned(connection, tenant, self._sections, sections)
        # Nothing below can fail, so that a window is counted once or not at all.
        self._events, self._sections = events, sections
        for row in attempts:
            # A connector of another version may write codes that are not known here; they share one label.
            fault = row["fault"] if row["fault"] in FAULTS or not row["fault"] else "other"
            self._attempts[row["erp_company"], row["effect_type"], row["outcome"], fault] += 1
            if row["seconds"] is not None:
                self.calls.setdefault((row["erp_company"],), Distribution()).observe(float(row["seconds"]))
        for row in planned:
            self._planned[row["action"], row["effect_type"]] += row["items"]
        return [
            *(_sample("posting_attempts", number, *labels) for labels, number in sorted(self._attempts.items())),
            *(_sample("plan_items", number, *labels) for labels, number in sorted(self._planned.items())),
        ]

    def _connections(self, connection: Connection, now: dt.datetime) -> list[Sample]:
        found = []
        for row in connection_states.all_of(connection, self._scope.tenant):
            name = row["name"]
            resting = row["circuit"] == "open" and (row["paused_until"] is None or row["paused_until"] > now)
            found.append(_sample("connection_circuit_open", resting, name))
            found.append(_sample("connection_failing", row["error"] is not None, name))
            known = [figure for figure in ("tokens_left", "retries_left", "throttled") if row[figure] is not None]
            found += [_sample(f"connection_{figure}", row[figure], name) for figure in known]
            found.append(_sample("connection_reported_timestamp_seconds", row["reported_at"].timestamp(), name))
        return found

    def _exceptions(self, connection: Connection, now: dt.datetime) -> list[Sample]:
        tenant = self._scope.tenant
        rows = figures.open_exceptions(connection, tenant, late_since(self._scope.duties, now))
        return [
            *_counted(rows, "fault_class", "items", "exceptions_open"),
            *_counted(rows, "fault_class", "overdue", "exceptions_overdue"),
            *_aged(rows, "fault_class", "exceptions_oldest_age_seconds", now),
            *_counted(figures.unexplained(connection, tenant), "legal_entity", "items", "reconciliation_unexplained"),
        ]

    def _outbox(self, connection: Connection, _now: dt.datetime) -> list[Sample]:
        row = figures.notifications(connection, self._scope.tenant)
        return [
            _sample("notifications_waiting", row["waiting"]),
            _sample("notifications_given_up", row["given_up"]),
        ]

    def _postings(self, connection: Connection, _now: dt.datetime) -> list[Sample]:
        return [
            _sample("postings", row["postings"], row["erp_company"], row["effect_type"], row["state"])
            for row in figures.postings(connection, self._scope.tenant)
        ]

    def _audit(self, connection: Connection, _now: dt.datetime) -> list[Sample]:
        tenant = self._scope.tenant
        signed = audit_leaves.latest_checkpoint(connection, tenant)
        verified = audit_leaves.latest_findings(connection, tenant)
        settled = audit_leaves.all_settled(connection, tenant)
        waiting = audit_sources.waiting(connection, tenant, settled=settled)
        size = audit_leaves.tree_size(connection, tenant)
        return [
            _sample("audit_checkpoint_timestamp_seconds", signed[1].timestamp() if signed else 0),
            _sample("audit_leaves_unsigned", size - (signed[0].size if signed else 0)),
            _sample("audit_rows_waiting", sum(waiting.values())),
            _sample("audit_log_holds", verified is None or verified["holds"]),
        ]


def _sample(name: str, value: float, *labels: str) -> Sample:
    family = FAMILIES[f"psa_erp_{name}"]
    assert len(labels) == len(family.labels), name
    return Sample(family.name, tuple(label or "none" for label in labels), float(value))


def _counted(rows: Sequence[RowMapping], label: str, column: str, name: str) -> Iterator[Sample]:
    return (_sample(name, row[column], row[label]) for row in rows)


def _aged(rows: Sequence[RowMapping], label: str, name: str, now: dt.datetime) -> Iterator[Sample]:
    return (_sample(name, _age(row["oldest_at"], now), row[label]) for row in rows)


def _age(at: dt.datetime | None, now: dt.datetime) -> float:
    return 0.0 if at is None else max(0.0, (now - at).total_seconds())
