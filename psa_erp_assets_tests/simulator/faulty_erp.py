"""An ERP with every fault that one call can have, drawn from the seed. It implements `ErpClient`.

A request that has been sent lives on in the ERP, whatever becomes of its sender: it is done, or refused, at its own
time, which is within the ERP's longest execution time.
"""

import datetime as dt
import enum
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.erp import (
    Accepted,
    Ambiguous,
    Answer,
    Command,
    Create,
    ErpClass,
    ErpDocument,
    LookUpFailedError,
    Rejected,
    Throttled,
    Withdraw,
)
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.values import replace
from psa_erp_assets_tests.simulator.scheduler import Scheduler

POISON = "poison"
_ABSURD = (None, 0.0, -5.0, 3.0, 20.0, 1e12, float("inf"), float("nan"))


class Fault(enum.Enum):
    """What can go wrong with one call."""

    LOST_REQUEST = "the request is lost"
    LOST_ANSWER = "the answer is lost"
    UNREADABLE = "the answer is cut off or HTML"
    UNAVAILABLE = "a 503 that says nothing"
    LATE = "done after the time-out"
    SLOW = "done slowly"
    THROTTLED = "429"
    ALTERED = "the ERP rounds or shifts the date"
    DOUBLED = "a proxy sends it twice"


@dataclass(slots=True)
class _Request:
    commands: Sequence[Command]
    due_at: dt.datetime
    times: int
    altered: bool
    answer: Answer | None = None


@dataclass(slots=True)
class FaultyErp:
    """`closed` holds (company, year, month); `on_commit` sees each create that is done, and whether a fault doubled
    it; `documents` is what the ERP holds, by its own ids.
    """

    scheduler: Scheduler
    rng: random.Random
    note: Callable[[str], None]
    on_commit: Callable[[Create, bool], None]
    erp_class: ErpClass
    time_out: dt.timedelta
    longest: dt.timedelta
    fault_rate: float = 0.0
    closed: set[tuple[str, int, int]] = field(default_factory=set)
    revoked_until: dt.datetime | None = None
    documents: dict[str, ErpDocument] = field(default_factory=dict)
    _requests: list[_Request] = field(default_factory=list)
    _ids: int = 0

    def submit(self, commands: Sequence[Command]) -> Answer:
        """One all-or-nothing request."""
        now, fault = self.scheduler.now(), self._draw()
        if self.revoked_until is not None and now < self.revoked_until:
            return Rejected(code="erp_auth", message="401")
        if fault is not None:
            self.note(f"fault: {fault.value} ({len(commands)} commands)")
        if fault is Fault.THROTTLED:
            return Throttled(retry_after=self.rng.choice(_ABSURD))
        if fault is Fault.LOST_REQUEST:
            self.scheduler.sleep(self.rng.uniform(0, self.time_out.total_seconds()))
            return Ambiguous(evidence="connection reset")
        request = self._receive(commands, now, fault)
        self.scheduler.wait_until(min(request.due_at, now + self.time_out))
        self.run_until(self.scheduler.now())
        if request.answer is None:
            return Ambiguous(evidence="timeout")
        if fault in (Fault.LOST_ANSWER, Fault.UNREADABLE, Fault.UNAVAILABLE):
            return Ambiguous(evidence=fault.value)
        return request.answer

    def look_up(
        self, erp_company: str, effect_type: EffectType, keys: Sequence[str]
    ) -> Mapping[str, Sequence[ErpDocument]]:
        """All documents under each key."""
        self.scheduler.sleep(self.rng.uniform(0, 1))
        if self.rng.random() < self.fault_rate:
            raise LookUpFailedError("the search timed out")
        self.run_until(self.scheduler.now())
        found: dict[str, list[ErpDocument]] = {key: [] for key in keys}
        for document in self.documents.values():
            if document.key in found and (document.erp_company, document.effect_type) == (erp_company, effect_type):
                found[document.key].append(document)
        return found

    @property
    def busy(self) -> bool:
        """Whether a request is still to be done."""
        return any(r.answer is None for r in self._requests)

    def run_until(self, now: dt.datetime) -> None:
        """Do what is due."""
        for request in sorted(self._requests, key=lambda r: r.due_at):
            if request.due_at <= now:
                request.answer = self._do(request)
                self._requests.remove(request)

    def edit(self, erp_id: str, document: ErpDocument | None) -> None:
        """What people do in the ERP: change a document, or delete it."""
        if document is None:
            del self.documents[erp_id]
        else:
            self.documents[erp_id] = document

    def is_closed(self, erp_company: str, date: dt.date) -> bool:
        """Whether the period of this date takes no more postings."""
        return (erp_company, date.year, date.month) in self.closed

    def _draw(self) -> Fault | None:
        if self.rng.random() >= self.fault_rate:
            return None
        if self.erp_class is ErpClass.SEARCHABLE_FIELD:
            return self.rng.choice(tuple(Fault))
        return self.rng.choice([f for f in Fault if f is not Fault.DOUBLED])

    def _receive(self, commands: Sequence[Command], now: dt.datetime, fault: Fault | None) -> _Request:
        shortest, longest = 0.05, 1.0
        if fault is Fault.SLOW:
            longest = self.time_out.total_seconds()
        if fault is Fault.LATE:
            shortest, longest = self.time_out.total_seconds(), self.longest.total_seconds()
        request = _Request(
            commands=commands,
            due_at=now + dt.timedelta(seconds=self.rng.uniform(shortest, longest)),
            times=2 if fault is Fault.DOUBLED else 1,
            altered=fault is Fault.ALTERED,
        )
        self._requests.append(request)
        return request

    def _do(self, request: _Request) -> Answer:
        refusal = next((r for c in request.commands if (r := self._refusal(c)) is not None), None)
        if refusal is not None:
            return refusal
        ids: dict[str, str] = {}
        for command in request.commands:
            if isinstance(command, Withdraw):
                if self.documents.pop(command.erp_id, None) is not None:
                    self.note(f"ERP: document {command.erp_id} withdrawn")
                ids[command.key] = command.erp_id
                continue
            for copy in range(request.times):
                self._ids += 1
                ids[command.key] = str(self._ids)
                self.on_commit(command, copy > 0)
                self.documents[str(self._ids)] = self._document(str(self._ids), command, altered=request.altered)
                self.note(f"ERP: document {self._ids} under {command.key[:6]}")
        return Accepted(erp_ids=ids)

    def _refusal(self, command: Command) -> Answer | None:
        if isinstance(command, Withdraw):
            there = self.documents.get(command.erp_id)
            if there is None:
                return None
            if there.document is not None:
                return Rejected(code="on_document", message=f"on {there.document}")
            closed = self.is_closed(command.erp_company, there.date)
            return Rejected(code="period_closed", message="closed") if closed else None
        if self.is_closed(command.effect.erp_company, command.effect.service_date):
            return Rejected(code="period_closed", message="closed")
        if command.effect.description == POISON:
            return Rejected(code="posting_rejected", message="the ERP does not like it")
        if self.erp_class is ErpClass.EXTERNAL_ID and any(d.key == command.key for d in self.documents.values()):
            # Some servers say so, of others one only knows that they did not do it all.
            if self.rng.random() < 0.5:
                return Rejected(code="posting_duplicate", message="the key is there already")
            return Ambiguous(evidence="refused, and some of the keys are there already")
        return None

    def _document(self, erp_id: str, command: Create, *, altered: bool) -> ErpDocument:
        effect = command.effect
        document = ErpDocument(
            key=command.key,
            erp_id=erp_id,
            erp_company=effect.erp_company,
            effect_type=effect.effect_type,
            amount=effect.amount,
            minutes=effect.minutes,
            date=effect.service_date,
            document=None,
            document_state=None,
            posted=False,
        )
        if not altered:
            return document
        if self.rng.random() < 0.5:
            return replace(document, date=effect.service_date + dt.timedelta(days=1))
        return replace(document, amount=effect.amount + Money(Decimal("0.01"), effect.amount.currency))
