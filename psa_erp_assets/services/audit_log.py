"""The audit log: rows get their place in a Merkle tree, its root is signed outside of the database, and it is verified.

Nobody who writes a payload, a decision or an attempt waits for the log. The sealer reads what they have committed.
"""

import datetime as dt
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from sqlalchemy import Connection, Engine

from psa_erp_assets.adapters import audit_notes
from psa_erp_assets.adapters.audit_notes import NoteError, SigningKey
from psa_erp_assets.adapters.store import audit_erasures, audit_leaves, audit_sources
from psa_erp_assets.adapters.store.audit_leaves import LeafFilter
from psa_erp_assets.domain.audit_check import Checkpoint, Findings, Kept, check
from psa_erp_assets.domain.merkle import inclusion_proof
from psa_erp_assets.services import settings_versions
from psa_erp_assets.settings import OperatorError, Settings

PROOF_FORMAT = "psa-erp-audit-proof/1"
PAGE_SIZE = 50
_POST_SECONDS = 10.0


class AuditLogError(OperatorError):
    """The log disagrees with what was signed outside of the database, or with what was asked of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealReport:
    """What sealing did.

    `delivered` is None where no address is set or it has the latest checkpoint, else whether it was taken now.
    """

    added: Mapping[str, int]
    size: int
    checkpoint: int | None
    delivered: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What a verification found, and which rows wait to get into the log."""

    findings: Findings
    waiting: Mapping[str, int]
    public_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """An entry of the log in a list."""

    seq: int
    source: str
    ref: str
    kind: str
    subject: str
    actor: str
    at: dt.datetime
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """A page of the log, latest first, and where the log stands.

    `older` is the `seq` to go on before, None on the last page. The checkpoint and the verification are the latest
    ones; None where there is none yet.
    """

    entries: tuple[AuditEntry, ...]
    older: int | None
    kinds: tuple[str, ...]
    size: int
    waiting: Mapping[str, int]
    checkpoint: int | None
    checkpoint_size: int
    checkpoint_root: str | None
    checkpoint_at: dt.datetime | None
    verified_at: dt.datetime | None
    holds: bool | None
    problems: tuple[Mapping[str, Any], ...]


def signing_key(settings: Settings) -> SigningKey:
    """The key of this log, made when it is first asked for. Raises AuditLogError where it cannot be read."""
    try:
        return audit_notes.load_key(settings.home / "audit-signing-key.pem", f"psa-erp/{settings.tenant}")
    except NoteError as error:
        raise AuditLogError(f"{error}: put the right file back; checkpoints of before need it") from error


def folder(settings: Settings) -> Path:
    """Where the checkpoints are."""
    return settings.home / "audit" / settings.tenant


def seal(
    engine: Engine, settings: Settings, *, now: dt.datetime, on_step: Callable[[int, str], None] | None = None
) -> SealReport:
    """Give every committed row its place in the log, and sign the new root.

    Safe to repeat and to run at once with others. Raises AuditLogError, and signs nothing, where the database has not
    what was signed before: somebody cut the log off, or restored an old backup. `on_step` is told how many were added.
    """
    key = signing_key(settings)
    refuse_disagreement(engine, settings)
    tenant = settings.tenant
    # A file that somebody is in the middle of editing is nothing that any process works with.
    with suppress(yaml.YAMLError, ValueError, OSError):
        settings_versions.note_settings(engine, settings, now=now)
    added: dict[str, int] = {}
    for source in audit_sources.SOURCES:
        with engine.begin() as connection:
            read, settled = audit_leaves.settled(connection, tenant, source.name)
        after: int | str | None = read if source.id is not None else None
        while True:
            with engine.begin() as connection:
                count, after = audit_leaves.add_batch(connection, tenant, source, after=after)
            if count:
                added[source.name] = added.get(source.name, 0) + count
                if on_step is not None:
                    on_step(sum(added.values()), source.name)
            if after is None:
                break
        if settled > read:
            with engine.begin() as connection:
                audit_leaves.settle(connection, tenant, source.name, settled)
    size, signed = _sign(engine, settings, key, now)
    number = None if signed is None else signed.number
    return SealReport(added=added, size=size, checkpoint=number, delivered=_deliver(settings, key.public))


def refuse_disagreement(engine: Engine, settings: Settings) -> None:
    """Raise AuditLogError where the latest checkpoint in the files is not one of the database.

    Then an old backup was restored, or the log was cut off: what was posted since is not known here any more, and
    posting on could do it twice. Costs a file and a row to read.
    """
    key = signing_key(settings)
    try:
        last = audit_notes.latest(folder(settings), key.public)
    except (NoteError, OSError, UnicodeDecodeError) as error:
        raise AuditLogError(f"the latest checkpoint in {folder(settings)} cannot be trusted: {error}") from error
    if last is None:
        return
    with engine.connect() as connection:
        there = audit_leaves.has_checkpoint(connection, settings.tenant, last)
        try:
            tree = audit_leaves.tree(connection, settings.tenant)
        except ValueError as error:
            raise AuditLogError(
                f"the edge of the tree is damaged ({error}); `psa-erp audit verify` tells more"
            ) from error
    if not there or tree.size < last.size or (tree.size == last.size and tree.root() != last.root):
        raise AuditLogError(
            f"the database does not have checkpoint {last.number} of {last.size} entries, as {folder(settings)} has it:"
            " an old backup was restored, or the log was cut off. Nothing was changed. Restore the latest backup, or"
            " see docs/audit.md"
        )


def verify(
    engine: Engine, settings: Settings, *, now: dt.datetime, on_step: Callable[[int, int], None] | None = None
) -> VerifyReport:
    """Compare every entry with its row and the log with every checkpoint outside of the database; keeps the result.

    `on_step` is told how many of how many entries were looked at.
    """
    # The files first: what is signed meanwhile is in the database before it is in a file.
    outside = audit_notes.read(folder(settings), signing_key(settings).public)
    with engine.execution_options(isolation_level="REPEATABLE READ").connect() as connection:
        report = findings(connection, settings, outside, on_step=on_step)
    with engine.begin() as connection:
        audit_leaves.keep_findings(connection, settings.tenant, report.findings, now)
    return report


def findings(
    connection: Connection,
    settings: Settings,
    outside: Sequence[Checkpoint],
    *,
    on_step: Callable[[int, int], None] | None = None,
) -> VerifyReport:
    """What a verification finds in the state of the database that the connection sees; keeps nothing."""
    tenant = settings.tenant
    size = audit_leaves.tree_size(connection, tenant)
    stored = audit_leaves.checkpoints(connection, tenant)
    # A log that has grown since the files were read is not ahead of them by mistake.
    known = [c for c in stored if not outside or c.number <= outside[-1].number]
    found = check(_told(audit_leaves.kept(connection, tenant), size, on_step), known, outside)
    if found.leaves != size:
        found.add("cut_off", None, f"the log was said to have {size} entries and has {found.leaves}")
    if stored and not outside:
        found.add("checkpoint", None, "no checkpoint is left outside of the database")
    waiting = audit_sources.waiting(connection, tenant)
    return VerifyReport(findings=found, waiting=waiting, public_key=signing_key(settings).public)


def prove(connection: Connection, settings: Settings, wanted: str) -> dict[str, Any]:
    """A proof that entries are in the log as last signed, for whoever has the public key and nothing else of ours.

    `wanted` is the number of an entry or a subject, all of whose entries are proved, and with them those that say what
    was erased of theirs. Raises AuditLogError where there is no such entry, or none of it is under a checkpoint yet.
    """
    key, tenant = signing_key(settings), settings.tenant
    seqs = [int(wanted)] if wanted.isdecimal() else audit_leaves.seqs_of(connection, tenant, wanted)
    latest = audit_leaves.latest_checkpoint(connection, tenant)
    signed = [seq for seq in seqs if latest is not None and seq <= latest[0].size]
    found = list(audit_leaves.kept(connection, tenant, signed)) if signed else []
    if latest is None or not found:
        raise AuditLogError(f"no entry {wanted} is under a checkpoint; `psa-erp audit checkpoint` signs what waits")
    checkpoint = latest[0]
    erased_by = audit_erasures.entries_that_erased(connection, tenant, [(k.leaf.source, k.leaf.ref) for k in found])
    known = {one.leaf.seq for one in found}
    why = [s for s in audit_leaves.seqs_of_rows(connection, tenant, "audit_entry", erased_by) if s not in known]
    found += audit_leaves.kept(connection, tenant, [seq for seq in why if seq <= checkpoint.size]) if why else ()
    hashes = audit_leaves.hashes(connection, tenant, checkpoint.size)
    entries = []
    for one in found:
        proof = inclusion_proof(hashes, one.leaf.seq - 1)
        entries.append(
            {
                "leaf": one.leaf.body(),
                # What the leaf has the hash of is not there any more where an erasure took something out of it.
                "document": None if one.row is None or one.since is not None else one.row.document(one.commitment),
                "opens": [{"name": sealed.name, "salt": sealed.salt.hex()} for sealed in one.personal],
                "erased": one.erasure is not None or one.since is not None,
                "index": one.leaf.seq - 1,
                "proof": [step.hex() for step in proof],
            }
        )
    return {
        "format": PROOF_FORMAT,
        "checkpoint": checkpoint.note,
        "public_key": key.public,
        "size": checkpoint.size,
        "entries": entries,
    }


def page(connection: Connection, tenant: str, wanted: LeafFilter, *, before: int | None = None) -> AuditPage:
    """A page of the log and where it stands.

    Whoever may see some legal entities alone sees their entries, and that a verification failed, but not at what.
    """
    rows = audit_leaves.list_leaves(connection, tenant, wanted, before=before, limit=PAGE_SIZE + 1)
    signed = audit_leaves.latest_checkpoint(connection, tenant)
    verified = audit_leaves.latest_findings(connection, tenant)
    return AuditPage(
        entries=tuple(AuditEntry(**row) for row in rows[:PAGE_SIZE]),
        older=rows[PAGE_SIZE - 1]["seq"] if len(rows) > PAGE_SIZE else None,
        kinds=tuple(audit_leaves.kinds(connection, tenant)),
        size=audit_leaves.tree_size(connection, tenant),
        waiting=audit_sources.waiting(connection, tenant, settled=audit_leaves.all_settled(connection, tenant)),
        checkpoint=signed[0].number if signed else None,
        checkpoint_size=signed[0].size if signed else 0,
        checkpoint_root=signed[0].root.hex() if signed else None,
        checkpoint_at=signed[1] if signed else None,
        verified_at=verified["verified_at"] if verified else None,
        holds=verified["holds"] if verified else None,
        problems=tuple(verified["problems"]) if verified and wanted.entities is None else (),
    )


def may_prove(connection: Connection, tenant: str, wanted: str, entities: frozenset[str] | None) -> bool:
    """Whether all entries that a proof of `wanted` would show are of these legal entities; None stands for all."""
    if entities is None:
        return True
    seqs = [int(wanted)] if wanted.isdecimal() else audit_leaves.seqs_of(connection, tenant, wanted)
    return audit_leaves.are_of(connection, tenant, seqs, entities)


def _sign(engine: Engine, settings: Settings, key: SigningKey, now: dt.datetime) -> tuple[int, Checkpoint | None]:
    """Sign the root if the log has grown, in the database first: what a crash keeps from the files is written next."""
    tenant, signed = settings.tenant, None
    with engine.begin() as connection:
        frontier = audit_leaves.locked_tree(connection, tenant)
        latest = audit_leaves.latest_checkpoint(connection, tenant)
        number, size = (latest[0].number, latest[0].size) if latest else (0, 0)
        if frontier.size > size:
            signed = key.sign(number + 1, frontier.size, frontier.root(), now)
            audit_leaves.add_checkpoint(connection, tenant, signed, now)
    for checkpoint in (latest[0] if latest else None, signed):
        if checkpoint is not None:
            audit_notes.write(folder(settings), checkpoint)
    return frontier.size, signed


def _deliver(settings: Settings, public: str) -> bool | None:
    """Send the latest checkpoint to the address in the settings, at each seal until it is taken.

    It covers what those before it say that were not taken.
    """
    url, last = settings.policies.audit.checkpoint_url, audit_notes.latest(folder(settings), public)
    if url is None or last is None or audit_notes.is_delivered(folder(settings), last, url):
        return None
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    try:
        answer = httpx.post(url, content=last.note.encode(), headers=headers, timeout=_POST_SECONDS)
    except httpx.HTTPError:
        return False
    if answer.is_success:
        audit_notes.note_delivered(folder(settings), last, url)
    return answer.is_success


def _told(kept: Iterator[Kept], size: int, on_step: Callable[[int, int], None] | None) -> Iterator[Kept]:
    for number in itertools.count(1):
        one = next(kept, None)
        if one is None:
            return
        if on_step is not None and number % 1_000 == 0:
            on_step(number, size)
        yield one
