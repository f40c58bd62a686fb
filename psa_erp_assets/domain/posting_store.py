"""The port to the ledger of postings: what the posting engine and the planner ask of a store.

Every method is one transaction, or one piece of the caller's where an adapter offers that. Claims, the engine's right
to work on a posting, raise the posting's fence; `save` writes only what still has the fence and the state that its
transition started from. No transaction stays open across a call to an ERP.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.posting import Lease, Operation, Posting, State, Transition


class StaleFenceError(Exception):
    """A posting has been claimed or moved on since the writer read it. Nothing was written."""

    def __init__(self, keys: Collection[str]) -> None:
        super().__init__(f"{len(keys)} posting(s) have moved on since they were claimed, first {min(keys, default='')}")
        self.keys = frozenset(keys)


class KeyReusedError(Exception):
    """One key met two payloads, which is a bug in whoever made them. Nothing was written."""

    def __init__(self, keys: Collection[str]) -> None:
        super().__init__(f"{len(keys)} key(s) stand for another payload already, first {min(keys, default='')}")
        self.keys = frozenset(keys)


class ClaimTakenError(Exception):
    """A source line is claimed by another posting that has not ended. Nothing was written."""

    def __init__(self, lines: Collection[str]) -> None:
        super().__init__(f"{len(lines)} source line(s) are claimed already, first {min(lines, default='')}")
        self.lines = frozenset(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a worker asks for: postings of one ERP company, effect type and operation, at most `limit`."""

    erp_company: str
    effect_type: EffectType
    operation: Operation
    limit: int


@dataclass(frozen=True, slots=True)
class Promoted:
    """How many planned postings became ready, and how many cannot go on any more and were cancelled."""

    ready: int
    cancelled: int


class PostingStore(Protocol):
    """The ledger of one tenant's postings."""

    def add(self, postings: Sequence[Posting], now: dt.datetime) -> int:
        """Add planned postings with their claims; returns how many were new.

        A posting that is there already with the same payload is left alone, but a cancelled reversal or withdrawal
        is revived. One that depends on another claims its line when it is promoted, because until then its
        predecessor holds it. Raises KeyReusedError (with an exception item for each) or ClaimTakenError.
        """
        ...

    def cancel(self, keys: Collection[str], now: dt.datetime, reason: str) -> frozenset[str]:
        """Cancel those of which nothing exists in the ERP and release their claims; returns their keys."""
        ...

    def retry(self, keys: Collection[str], now: dt.datetime, reason: str) -> frozenset[str]:
        """Let rejected, conflicting and duplicate postings go on; returns the keys of those that were such."""
        ...

    def hold(self, keys: Collection[str], now: dt.datetime, reason: str) -> frozenset[str]:
        """Keep unsent postings from being sent; returns the keys of those that are held now because of it."""
        ...

    def release(self, keys: Collection[str], now: dt.datetime, reason: str) -> frozenset[str]:
        """Let held postings go on; returns their keys."""
        ...

    def promote(self, erp_companies: Collection[str], now: dt.datetime) -> Promoted:
        """Move planned postings through the gate (`posting_gate`)."""
        ...

    def expire_leases(self, erp_companies: Collection[str], now: dt.datetime, horizon: dt.timedelta) -> int:
        """Make postings ambiguous whose worker has not come back in time; returns how many."""
        ...

    def claim_ready(self, work: Work, lease: Lease) -> Sequence[Posting]:
        """Take due READY postings, which are IN_FLIGHT when this returns. Oldest first."""
        ...

    def claim_unresolved(self, work: Work, lease: Lease) -> Sequence[Posting]:
        """Take due AMBIGUOUS postings, which are RESOLVING when this returns."""
        ...

    def claim_unverified(self, work: Work, lease: Lease) -> Sequence[Posting]:
        """Take due CONFIRMED and DRIFT postings that no other worker is reading back."""
        ...

    def save(self, transitions: Sequence[Transition]) -> None:
        """Write transitions of different postings, their history and their exception items, all or none.

        Where what takes another posting back is VERIFIED, its target becomes WITHDRAWN or REVERSED and the target's
        claim is released with it. Raises StaleFenceError if any posting is not as its transition found it.
        """
        ...

    def next_due(self, erp_companies: Collection[str], effect_types: Collection[EffectType]) -> dt.datetime | None:
        """When there is next something to do about postings of these companies and types, None if there never is."""
        ...

    def count(self, erp_companies: Collection[str]) -> Mapping[State, int]:
        """Postings by state."""
        ...

    def exclusive(self, name: str) -> AbstractContextManager[bool]:
        """Hold the lock called `name` without waiting; gives whether it was free. A dead holder holds nothing."""
        ...

    def report_trouble(self, erp_company: str, code: str, detail: str, now: dt.datetime) -> None:
        """Open an exception item about the company's ERP as such, or bring it up to date."""
        ...

    def trouble_over(self, erp_company: str, codes: Collection[str], now: dt.datetime) -> None:
        """Resolve the company's open exception items of these codes."""
        ...
