"""Tryton as the posting engine's ERP.

Every create and every withdrawal is one RPC call, and one RPC call is one transaction of Tryton's.

A withdrawal must not remove a line that finance takes up in the same moment. The line is read with its time stamp,
which Tryton moves with every change, and the stamp is sent along with the delete: an invoice that took the line up
in between has changed it, so Tryton refuses (ConcurrencyException). What happens while the delete itself runs is
decided by PostgreSQL, under whose repeatable-read isolation the later of two writers of one row fails; Tryton then
starts over and meets the new time stamp.
"""

import contextlib
import datetime as dt
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from psa_erp_assets.adapters.connectors.tryton import documents
from psa_erp_assets.adapters.connectors.tryton.documents import KINDS, EntryEffect, Kind, NotSendableError, Record
from psa_erp_assets.adapters.connectors.tryton.facts import REFERENCE, Chart, Facts, SetupMissingError
from psa_erp_assets.adapters.connectors.tryton.periods import PeriodClosedError, open_periods
from psa_erp_assets.adapters.connectors.tryton.reading import Reader
from psa_erp_assets.adapters.connectors.tryton.rpc import (
    AuthRefusedError,
    BusyError,
    ConcurrencyError,
    RefusedError,
    TrytonError,
    TrytonRpc,
    UnreachableError,
)
from psa_erp_assets.adapters.connectors.tryton.stamp import search_pattern
from psa_erp_assets.domain.effects import BillingLine, EffectType, IntercompanyCharge, booking_date
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

_LOG = logging.getLogger(__name__)

# A line that changes under each of so many withdrawals is being edited; the engine comes back later.
_WITHDRAWAL_ATTEMPTS = 3
# So many patterns in one search: above it Tryton's nesting of OR clauses costs more than another call.
_PATTERNS = 100
_KEYS = 1_000
# What reading a record of an unexpected shape raises.
_SHAPE_ERRORS = (KeyError, TypeError, AttributeError, ValueError, ArithmeticError)


class _DefiniteError(Exception):
    """An answer that was found before anything was sent."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(str(answer))
        self.answer = answer


class TrytonErp:
    """Implements `psa_erp_assets.domain.erp.ErpClient` for one Tryton database. Threads may share it.

    `timeout` is the total deadline of a create or a withdrawal, in seconds, with the readings before it.
    """

    def __init__(self, rpc: TrytonRpc, *, chart: Chart | None = None, timeout: float = 60.0) -> None:
        self._rpc, self._timeout = rpc, timeout
        self._facts = Facts(rpc, chart or Chart())
        self._reader = Reader(rpc, self._facts)

    @property
    def erp_class(self) -> ErpClass:
        """EXTERNAL_ID where the companion module is active, else SEARCHABLE_FIELD.

        Raises LookUpFailedError when the server gave no usable answer.
        """
        try:
            return ErpClass.EXTERNAL_ID if self._facts.has_reference() else ErpClass.SEARCHABLE_FIELD
        except TrytonError as error:
            raise LookUpFailedError(str(error)) from None

    def submit(self, commands: Sequence[Command]) -> Answer:
        """One all-or-nothing request. Raises ValueError for commands of two kinds, types or companies."""
        creates = [c for c in commands if isinstance(c, Create)]
        withdrawals = [c for c in commands if isinstance(c, Withdraw)]
        scopes = {(c.effect.effect_type, c.effect.erp_company) for c in creates} | {
            (w.effect_type, w.erp_company) for w in withdrawals
        }
        if len(scopes) != 1 or (creates and withdrawals):
            raise ValueError("a request needs commands, all of one kind, one effect type and one company")
        deadline = time.monotonic() + self._timeout
        try:
            return self._create(creates, deadline) if creates else self._withdraw(withdrawals, deadline)
        except _DefiniteError as found:
            return found.answer

    def look_up(
        self, erp_company: str, effect_type: EffectType, keys: Sequence[str]
    ) -> Mapping[str, Sequence[ErpDocument]]:
        """All documents under each key, archived records included."""
        try:
            found = self._find(int(erp_company), effect_type, keys)
        except (TrytonError, SetupMissingError) as error:
            raise LookUpFailedError(str(error)) from None
        except _SHAPE_ERRORS as error:
            raise LookUpFailedError(f"a record of another shape ({type(error).__name__})") from None
        answer: dict[str, list[ErpDocument]] = {key: [] for key in keys}
        for document in found:
            answer[document.key].append(document)
        return answer

    def _create(self, commands: Sequence[Create], deadline: float) -> Answer:
        effect_type, company = commands[0].effect.effect_type, commands[0].effect.erp_company
        with _before_sending():
            values = self._values(commands)
        kind = KINDS[effect_type]
        try:
            ids = self._rpc.call(
                f"model.{kind.model}.create", values, context={"company": int(company)}, timeout=_time_left(deadline)
            )
        except RefusedError as refusal:
            return self._explained(refusal, commands)
        except TrytonError as error:
            return _answer_to(error)
        if not isinstance(ids, list) or len(ids) != len(commands) or not all(isinstance(i, int) for i in ids):
            return Ambiguous(evidence="create answered with another number of ids than records were sent")
        return Accepted(erp_ids={c.key: str(i) for c, i in zip(commands, ids, strict=True)})

    def _values(self, commands: Sequence[Create]) -> list[Record]:
        company = int(commands[0].effect.erp_company)
        group, facts = self._facts.group(), self._facts.company(company)
        self._refuse_inactive_taxes(commands)
        periods = self._open_periods(commands)
        values = []
        for command in commands:
            match command.effect:
                case BillingLine() as line:
                    record = documents.billing_line(command, line, group, facts)
                case entry:
                    period, partner = periods[booking_date(entry)], self._partner(entry)
                    record = documents.journal_entry(command, entry, period, group, facts, partner=partner)
            if self._facts.has_reference():
                record[REFERENCE] = command.key
            values.append(record)
        return values

    def _partner(self, effect: EntryEffect) -> str:
        """The name of the company that an intercompany charge is owed by; empty for other entries."""
        if not isinstance(effect, IntercompanyCharge):
            return ""
        return self._facts.company(documents.record_id(effect.partner_company, "company")).name

    def _refuse_inactive_taxes(self, commands: Sequence[Create]) -> None:
        """Tryton only warns of an inactive tax, and once the warning is acknowledged posts at its old rate."""
        wanted = {
            documents.record_id(c.effect.tax, "tax")
            for c in commands
            if isinstance(c.effect, BillingLine) and c.effect.tax is not None
        }
        if not wanted:
            return
        taxes = self._rpc.search("account.tax", [["id", "in", sorted(wanted)]], ["active", "name"])
        unknown = wanted - {tax["id"] for tax in taxes}
        if unknown:
            # Tryton would say that the tax was added twice.
            raise NotSendableError(f"no tax has the id {min(unknown)}")
        inactive = sorted(tax["name"] for tax in taxes if not tax["active"])
        if inactive:
            raise _DefiniteError(Rejected(code="tax_inactive", message=f"no longer active: {', '.join(inactive)}"))

    def _open_periods(self, commands: Sequence[Create]) -> dict[dt.date, int]:
        journal = documents.journal_of(commands[0].effect.effect_type)
        if journal is None:
            return {}
        company, dates = int(commands[0].effect.erp_company), {booking_date(c.effect) for c in commands}
        try:
            return open_periods(self._rpc, company, self._facts.group().journals[journal], dates)
        except PeriodClosedError as error:
            raise _DefiniteError(Rejected(code="period_closed", message=str(error))) from None

    def _explained(self, refusal: RefusedError, commands: Sequence[Create]) -> Answer:
        """Why Tryton refused: looked for in its records, because its messages are prose in the user's language.

        A key that is there already is told as "posting_duplicate": an earlier attempt may have made the document, so
        the engine looks it up instead of giving up.
        """
        effect = commands[0].effect
        if self._facts.has_reference():
            try:
                there = self.look_up(effect.erp_company, effect.effect_type, [c.key for c in commands])
            except LookUpFailedError as error:
                return Ambiguous(evidence=f"refused ({refusal}), and whether the keys are there is unknown: {error}")
            if any(there.values()):
                message = f"{sum(map(bool, there.values()))} of the keys are there already: {refusal}"
                return Rejected(code="posting_duplicate", message=message)
        if isinstance(refusal, ConcurrencyError):
            return Throttled(retry_after=None)
        with _before_sending():
            self._refuse_inactive_taxes(commands)
            self._open_periods(commands)
        return Rejected(code="posting_rejected", message=str(refusal))

    # Withdrawing

    def _withdraw(self, commands: Sequence[Withdraw], deadline: float) -> Answer:
        kind = KINDS[commands[0].effect_type]
        for _ in range(_WITHDRAWAL_ATTEMPTS):
            with _before_sending():
                stamps = self._withdrawable(commands, kind)
            if not stamps:
                break
            context = {
                "company": int(commands[0].erp_company),
                "_timestamp": {f"{kind.model},{erp_id}": stamp for erp_id, stamp in stamps.items()},
            }
            try:
                self._rpc.call(
                    f"model.{kind.model}.delete", list(stamps), context=context, timeout=_time_left(deadline)
                )
            except RefusedError as error:
                # Changed, taken up or removed since it was read: which of them the next reading shows.
                refusal = error
            except TrytonError as error:
                return _answer_to(error)
            else:
                break
        else:
            if isinstance(refusal, ConcurrencyError):
                return Throttled(retry_after=None)
            return Rejected(code="posting_rejected", message=str(refusal))
        return Accepted(erp_ids={c.key: c.erp_id for c in commands})

    def _withdrawable(self, commands: Sequence[Withdraw], kind: Kind) -> dict[int, str]:
        """The time stamps of the documents that are still there, all of which must be free drafts of ours."""
        fields = [kind.stamped, "_timestamp"]
        fields += ["invoice"] if kind.model == "account.invoice.line" else ["state", "period.state"]
        if self._facts.has_reference():
            fields.append(REFERENCE)
        ids = [documents.record_id(c.erp_id, "document") for c in commands]
        rows = {row["id"]: row for row in self._rpc.search(kind.model, [["id", "in", ids]], fields)}
        for command in commands:
            row = rows.get(int(command.erp_id))
            if row is None:
                continue
            if row.get("invoice") is not None or row.get("state", "draft") != "draft":
                message = f"{kind.model} {command.erp_id} is taken up already"
                raise _DefiniteError(Rejected(code="on_document", message=message))
            if documents.key_of(row, kind) != command.target_key:
                message = f"{kind.model} {command.erp_id} does not carry the key {command.target_key}"
                raise _DefiniteError(Rejected(code="posting_conflict", message=message))
            if row.get("period.", {}).get("state", "open") != "open":
                message = f"{kind.model} {command.erp_id} is in a closed period"
                raise _DefiniteError(Rejected(code="period_closed", message=message))
        return {erp_id: row["_timestamp"] for erp_id, row in rows.items()}

    # Reading

    def _find(self, company: int, effect_type: EffectType, keys: Sequence[str]) -> list[ErpDocument]:
        found: list[ErpDocument] = []
        external = self._facts.has_reference()
        size = _KEYS if external else _PATTERNS
        for chunk in (keys[i : i + size] for i in range(0, len(keys), size)):
            if external:
                condition: list[Any] = [REFERENCE, "in", list(chunk)]
            else:
                condition = ["OR", *([[KINDS[effect_type].stamped, "like", search_pattern(key)]] for key in chunk)]
            found += [f.document for f in self._reader.find(company, effect_type, [condition])]
        return found


@contextlib.contextmanager
def _before_sending() -> Iterator[None]:
    """What fails in here fails before the request leaves: nothing was done, whatever the trouble is."""
    try:
        yield
    except (NotSendableError, SetupMissingError) as error:
        raise _DefiniteError(Rejected(code="posting_rejected", message=str(error))) from None
    except (BusyError, AuthRefusedError, RefusedError) as error:
        raise _DefiniteError(_answer_to(error)) from None
    except (TrytonError, *_SHAPE_ERRORS) as error:
        # The answer has no room for the cause, and a server that always fails at this must not be silent.
        _LOG.warning("not sent, to be tried again: %r", error)
        raise _DefiniteError(Throttled(retry_after=None)) from None


def _answer_to(error: TrytonError) -> Answer:
    match error:
        case BusyError():
            return Throttled(retry_after=error.retry_after)
        case UnreachableError():
            # Not one byte left, so it is as definite as a refusal for load, and as worth trying again later.
            return Throttled(retry_after=None)
        case AuthRefusedError():
            return Rejected(code="erp_auth", message=str(error))
        case RefusedError():
            return Rejected(code="posting_rejected", message=str(error))
        case _:
            return Ambiguous(evidence=str(error))


def _time_left(deadline: float) -> float:
    """Seconds that a write may still take. Raises _DefiniteError where the readings before it took all of them.

    A write that left later could outlive its worker's lease; as it does not leave, nothing was done.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise _DefiniteError(Throttled(retry_after=None))
    return left
