"""Statements on the log itself: rows get their place in it, and it is read back with everything that bears on it."""

import datetime as dt
import secrets
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    RowMapping,
    Text,
    case,
    cast,
    false,
    func,
    insert,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert as pg_insert

from psa_erp_assets.adapters.store.audit_sources import SOURCES, Source, any_of, rows_of
from psa_erp_assets.adapters.store.schema import plan, plan_section, posting, work_head
from psa_erp_assets.adapters.store.schema_audit import (
    audit_checkpoint,
    audit_erasure,
    audit_leaf,
    audit_personal,
    audit_progress,
    audit_tree,
    audit_verification,
)
from psa_erp_assets.adapters.store.schema_exceptions import exception_request
from psa_erp_assets.domain.audit import SALT_BYTES, Leaf, Sealed, SourceRow, commitment, digest
from psa_erp_assets.domain.audit_check import Checkpoint, Erasure, Findings, Kept
from psa_erp_assets.domain.merkle import Frontier

_BATCH = 20_000
_READ_BATCH = 5_000
_HASH_BYTES = 32
OF_LEAF = "leaf:"
"""Begins the source of an erasure that says what a row of the log says since."""
COMMITTED = frozenset({"audit_entry", "inbox", "master_record"})
"""The sources whose personal part a commitment stands for in the leaf."""
_LEAF_COLUMNS = "tenant, seq, source, ref, kind, subject, actor, at, content, commitment, hash"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafFilter:
    """Which entries to list; None does not narrow. `entities` are the legal entities whose entries count."""

    kind: str | None = None
    subject: str | None = None
    actor: str | None = None
    entities: frozenset[str] | None = None


def locked_tree(connection: Connection, tenant: str) -> Frontier:
    """The right edge of the tree. Whoever adds to the log takes turns, until the transaction ends."""
    connection.execute(pg_insert(audit_tree).values(tenant=tenant, size=0, frontier=b"").on_conflict_do_nothing())
    row = connection.execute(select(audit_tree).where(audit_tree.c.tenant == tenant).with_for_update()).one()
    return _frontier(row.size, row.frontier)


def tree_size(connection: Connection, tenant: str) -> int:
    """How many entries the log says that it has."""
    query = select(audit_tree.c.size).where(audit_tree.c.tenant == tenant)
    return connection.execute(query).scalar_one_or_none() or 0


def tree(connection: Connection, tenant: str) -> Frontier:
    """The right edge of the tree as it is now. Raises ValueError where it has been damaged."""
    row = connection.execute(select(audit_tree).where(audit_tree.c.tenant == tenant)).one_or_none()
    return Frontier() if row is None else _frontier(row.size, row.frontier)


def add_batch(
    connection: Connection, tenant: str, source: Source, *, after: int | str | None
) -> tuple[int, int | str | None]:
    """Give the next rows of a source that have none their places.

    `after` is the ref to go on after. Answers with how many places it were and the next `after`, None at the end.
    """
    frontier = locked_tree(connection, tenant)
    highest = _highest(connection, tenant, source.name)
    result = connection.execute(source.page(tenant, after=after, limit=_BATCH))
    names, read = tuple(result.keys()), result.all()
    following = read[-1].ref_ if len(read) == _BATCH else None
    old = [str(row.ref_) for row in read if source.id is None or row.ref_ <= highest]
    there = _with_places(connection, tenant, source.name, old)
    found = [source.row(row, names) for row in read if str(row.ref_) not in there]
    if source.id is not None and read:
        _saw(connection, tenant, source.name, read[-1].ref_)
    if not found:
        return 0, following
    leaves, salts = [], []
    for row in found:
        committed = None
        if row.personal is not None:
            salt = secrets.token_bytes(SALT_BYTES)
            committed = commitment(salt, row.personal)
            salts.append((tenant, row.source, row.ref, "content", salt))
        leaf = row.leaf(tenant, frontier.size + 1, committed)
        hashed = leaf.hash()
        frontier.append(hashed)
        leaves.append(
            (
                tenant, leaf.seq, leaf.source, leaf.ref, leaf.kind, leaf.subject, leaf.actor, leaf.at, leaf.content,
                committed, hashed,
            )
        )  # fmt: skip
    _copy(connection, f"COPY ops.audit_leaf ({_LEAF_COLUMNS}) FROM STDIN", leaves)
    if salts:
        _copy(connection, "COPY ops.audit_personal (tenant, source, ref, name, salt) FROM STDIN", salts)
    connection.execute(
        update(audit_tree)
        .where(audit_tree.c.tenant == tenant)
        .values(size=frontier.size, frontier=b"".join(frontier.hashes))
    )
    return len(found), following


def settled(connection: Connection, tenant: str, source: str) -> tuple[int, int]:
    """Up to which id all rows of a source are in the log, and up to which they are once they were read from there on.

    Ids are given before a transaction commits, so that a lower one can appear after a higher one. What was seen is
    settled once every transaction that was under way at that time has ended, and what these left has been read.
    """
    table = audit_progress.c
    row = connection.execute(select(audit_progress).where(table.tenant == tenant, table.source == source)).one_or_none()
    if row is None:
        return 0, 0
    ended = row.seen > row.settled and _xid(connection, "pg_snapshot_xmin") >= row.horizon
    return row.settled, row.seen if ended else row.settled


def all_settled(connection: Connection, tenant: str) -> dict[str, int]:
    """Up to which id all rows of each source are in the log."""
    table = audit_progress.c
    query = select(table.source, table.settled).where(table.tenant == tenant)
    return {row.source: row.settled for row in connection.execute(query)}


def settle(connection: Connection, tenant: str, source: str, up_to: int) -> None:
    """Keep that all rows up to an id are in the log."""
    table = audit_progress.c
    here = (table.tenant == tenant, table.source == source, table.settled < up_to)
    connection.execute(update(audit_progress).where(*here).values(settled=up_to))


def _highest(connection: Connection, tenant: str, source: str) -> int:
    table = audit_progress.c
    query = select(table.highest).where(table.tenant == tenant, table.source == source)
    return connection.execute(query).scalar_one_or_none() or 0


def _saw(connection: Connection, tenant: str, source: str, seen: int) -> None:
    """Keep up to which id the rows of a source were read, to be settled later."""
    table = audit_progress.c
    statement = pg_insert(audit_progress).values(
        tenant=tenant,
        source=source,
        settled=0,
        seen=seen,
        highest=seen,
        horizon=_xid(connection, "pg_snapshot_xmax"),
    )
    new = statement.excluded
    # What was seen before and is not settled yet keeps its horizon, or a steady flow would never settle.
    free = table.seen == table.settled
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[table.tenant, table.source],
            set_={
                "seen": case((free, func.greatest(table.seen, new.seen)), else_=table.seen),
                "horizon": case((free, new.horizon), else_=table.horizon),
                "highest": func.greatest(table.highest, new.highest),
            },
        )
    )


def _with_places(connection: Connection, tenant: str, source: str, refs: Sequence[str]) -> set[str]:
    if not refs:
        return set()
    table = audit_leaf.c
    query = select(table.ref).where(table.tenant == tenant, table.source == source, any_of(table.ref, refs))
    return set(connection.execute(query).scalars())


def kept(connection: Connection, tenant: str, seqs: Collection[int] | None = None) -> Iterator[Kept]:
    """The leaves by `seq`, all or those, each with its row and everything else that bears on it."""
    table, after = audit_leaf.c, None
    while True:
        query = select(audit_leaf).where(table.tenant == tenant).order_by(table.seq).limit(_READ_BATCH)
        if seqs is not None:
            query = query.where(any_of(table.seq, seqs))
        if after is not None:
            query = query.where(table.seq > after)
        rows = connection.execute(query).all()
        if not rows:
            return
        after = rows[-1].seq
        yield from _with_rows(connection, tenant, rows)


def hashes(connection: Connection, tenant: str, size: int) -> list[bytes]:
    """The hashes of the first leaves."""
    table = audit_leaf.c
    query = select(table.hash).where(table.tenant == tenant, table.seq <= size).order_by(table.seq)
    return [bytes(value) for value in connection.execute(query).scalars()]


def seqs_of(connection: Connection, tenant: str, subject: str) -> list[int]:
    """The places of all entries about a subject."""
    table = audit_leaf.c
    query = select(table.seq).where(table.tenant == tenant, table.subject == subject).order_by(table.seq)
    return [int(seq) for seq in connection.execute(query).scalars()]


def seqs_of_rows(connection: Connection, tenant: str, source: str, refs: Sequence[str]) -> list[int]:
    """The places of these rows of a source."""
    table = audit_leaf.c
    query = select(table.seq).where(table.tenant == tenant, table.source == source, any_of(table.ref, refs))
    return [int(seq) for seq in connection.execute(query.order_by(table.seq)).scalars()]


def list_leaves(
    connection: Connection, tenant: str, wanted: LeafFilter, *, before: int | None, limit: int
) -> Sequence[RowMapping]:
    """Entries, latest first, from the one before `before` on."""
    table = audit_leaf.c
    chosen = ((table.kind, wanted.kind), (table.subject, wanted.subject), (table.actor, wanted.actor))
    query = select(
        table.seq, table.source, table.ref, table.kind, table.subject, table.actor, table.at, table.content
    ).where(
        table.tenant == tenant,
        of_entities(wanted.entities),
        *(column == value for column, value in chosen if value is not None),
    )
    if before is not None:
        query = query.where(table.seq < before)
    return connection.execute(query.order_by(table.seq.desc()).limit(limit)).mappings().all()


def are_of(connection: Connection, tenant: str, seqs: Sequence[int], entities: frozenset[str]) -> bool:
    """Whether all of these entries are of these legal entities."""
    table = audit_leaf.c
    query = select(func.count()).where(table.tenant == tenant, any_of(table.seq, seqs), of_entities(entities))
    return int(connection.execute(query).scalar_one()) == len(seqs)


def of_entities(entities: frozenset[str] | None) -> ColumnElement[bool]:
    """Entries about work, plans and postings of these legal entities; None for all entries.

    What is of no legal entity, such as master data, settings and access, is for those who may see all.
    """
    if entities is None:
        return true()
    leaf, codes = audit_leaf.c, sorted(entities)
    work, asked = work_head.c, exception_request.c
    of_work = select(work.object_id).where(
        work.tenant == leaf.tenant,
        work.object_id == func.split_part(leaf.subject, "#", 1),
        work.legal_entity.in_(codes),
    )
    of_posting = select(posting.c.key).where(
        posting.c.tenant == leaf.tenant, posting.c.key == leaf.subject, posting.c.legal_entity.in_(codes)
    )
    of_plan = select(plan.c.id).where(
        plan.c.tenant == leaf.tenant, plan.c.id == cast(leaf.ref, BigInteger), plan.c.legal_entity.in_(codes)
    )
    of_section = select(plan_section.c.id).where(
        plan_section.c.tenant == leaf.tenant,
        plan_section.c.id == cast(leaf.ref, BigInteger),
        plan_section.c.legal_entity.in_(codes),
    )
    of_request = select(asked.id).where(
        asked.tenant == leaf.tenant,
        asked.id == cast(leaf.ref, BigInteger),
        asked.legal_entities.contained_by(codes),
        func.cardinality(asked.legal_entities) > 0,
    )
    # Only where the source is the right one is its ref a number.
    return case(
        (leaf.source.in_(("decision", "credit", "period_choice", "write_off", "inbox")), of_work.exists()),
        (leaf.source == "posting_event", of_posting.exists()),
        (leaf.source.in_(("plan", "plan_review", "plan_end")), of_plan.exists()),
        (leaf.source == "plan_section", of_section.exists()),
        (leaf.source == "exception_request", of_request.exists()),
        else_=false(),
    )


def kinds(connection: Connection, tenant: str) -> list[str]:
    """The kinds of entries that there are."""
    # A loose index scan: DISTINCT reads the whole log.
    first = select(func.min(audit_leaf.c.kind).label("kind")).where(audit_leaf.c.tenant == tenant)
    found: list[str] = []
    kind = connection.execute(first).scalar_one()
    while kind is not None:
        found.append(kind)
        kind = connection.execute(first.where(audit_leaf.c.kind > kind)).scalar_one()
    return found


def checkpoints(connection: Connection, tenant: str) -> list[Checkpoint]:
    """The checkpoints in the database, by number."""
    table = audit_checkpoint.c
    query = select(audit_checkpoint).where(table.tenant == tenant).order_by(table.number)
    return [
        Checkpoint(number=row.number, size=row.size, root=bytes(row.root), note=row.note)
        for row in connection.execute(query)
    ]


def has_checkpoint(connection: Connection, tenant: str, checkpoint: Checkpoint) -> bool:
    """Whether the database has just this checkpoint."""
    table = audit_checkpoint.c
    query = select(table.note).where(table.tenant == tenant, table.number == checkpoint.number)
    return connection.execute(query).scalar_one_or_none() == checkpoint.note


def latest_checkpoint(connection: Connection, tenant: str) -> tuple[Checkpoint, dt.datetime] | None:
    """The latest checkpoint in the database and when it was signed."""
    table = audit_checkpoint.c
    query = select(audit_checkpoint).where(table.tenant == tenant).order_by(table.number.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return Checkpoint(number=row.number, size=row.size, root=bytes(row.root), note=row.note), row.signed_at


def add_checkpoint(connection: Connection, tenant: str, checkpoint: Checkpoint, now: dt.datetime) -> None:
    """Keep a checkpoint."""
    connection.execute(
        insert(audit_checkpoint).values(
            tenant=tenant,
            number=checkpoint.number,
            size=checkpoint.size,
            root=checkpoint.root,
            note=checkpoint.note,
            signed_at=now,
        )
    )


def keep_findings(connection: Connection, tenant: str, found: Findings, now: dt.datetime) -> None:
    """Keep what a verification found."""
    problems = [{"what": p.what, "seq": p.seq, "detail": p.detail} for p in found.problems[:20]]
    connection.execute(
        insert(audit_verification).values(
            tenant=tenant,
            verified_at=now,
            holds=found.holds,
            leaves=found.leaves,
            checkpoints=found.checkpoints,
            problems=problems,
        )
    )


def latest_findings(connection: Connection, tenant: str) -> RowMapping | None:
    """What the latest verification found."""
    table = audit_verification.c
    query = select(audit_verification).where(table.tenant == tenant).order_by(table.id.desc()).limit(1)
    return connection.execute(query).mappings().one_or_none()


def erased_digest(erasures: Iterable[tuple[str, str, str]]) -> str:
    """The hash over all that one entry erases: source, ref and hash of the replacement of each row."""
    return digest({"erased": [list(erasure) for erasure in sorted(erasures)]})


def _with_rows(connection: Connection, tenant: str, rows: Sequence[Any]) -> Iterator[Kept]:
    refs: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        refs[row.source].append(row.ref)
    names = {source.name for source in SOURCES}
    known: dict[tuple[str, str], SourceRow] = {}
    for source, of in refs.items():
        if source in names:
            known |= {(source, ref): row for ref, row in rows_of(connection, tenant, source, of).items()}
    personal = _personal(connection, tenant, refs)
    erasures = _erasures(connection, tenant, refs)
    since = _since(connection, tenant, refs)
    erased = _erased_by(connection, tenant, refs.get("audit_entry", []))
    for row in rows:
        key = (row.source, row.ref)
        yield Kept(
            leaf=Leaf(
                tenant=row.tenant,
                seq=row.seq,
                source=row.source,
                ref=row.ref,
                kind=row.kind,
                subject=row.subject,
                actor=row.actor,
                at=row.at.astimezone(dt.UTC).isoformat(),
                content=row.content,
            ),
            hash=bytes(row.hash),
            commitment=row.commitment,
            row=known.get(key),
            personal=personal.get(key, ()),
            erasure=erasures.get(key),
            erased=erased.get(row.ref) if row.source == "audit_entry" else None,
            since=since.get(key),
        )


def _personal(
    connection: Connection, tenant: str, refs: dict[str, list[str]]
) -> dict[tuple[str, str], tuple[Sealed, ...]]:
    table = audit_personal.c
    found: dict[tuple[str, str], tuple[Sealed, ...]] = {}
    for source, of in refs.items():
        query = select(audit_personal).where(table.tenant == tenant, table.source == source, any_of(table.ref, of))
        for row in connection.execute(query):
            sealed = Sealed(name=row.name, salt=bytes(row.salt), value=row.value or "", person=row.person or "")
            found[source, row.ref] = (*found.get((source, row.ref), ()), sealed)
    return found


def _erasures(connection: Connection, tenant: str, refs: dict[str, list[str]]) -> dict[tuple[str, str], Erasure]:
    """The latest erasure of each row whose personal part a commitment stands for."""
    return {
        (source, row.ref): Erasure(replaced_by=digest(row.replacement), entry_ref=str(row.entry_id))
        for source in refs.keys() & COMMITTED
        for row in _erased_rows(connection, tenant, source, refs[source])
    }


def _since(connection: Connection, tenant: str, refs: dict[str, list[str]]) -> dict[tuple[str, str], str]:
    """The hash of what each row says since the latest erasure that took something out of it."""
    return {
        (source, row.ref): row.replacement["says"]
        for source, of in refs.items()
        for row in _erased_rows(connection, tenant, OF_LEAF + source, of)
    }


def _erased_rows(connection: Connection, tenant: str, source: str, refs: Sequence[str]) -> Sequence[Any]:
    """What erasures say about these rows, the latest one of each row last."""
    table = audit_erasure.c
    query = select(table.ref, table.replacement, table.entry_id).where(
        table.tenant == tenant, table.source == source, any_of(table.ref, refs)
    )
    return connection.execute(query.order_by(table.entry_id)).all()


def _erased_by(connection: Connection, tenant: str, entries: Sequence[str]) -> dict[str, str]:
    if not entries:
        return {}
    table = audit_erasure.c
    query = (
        select(audit_erasure)
        .where(table.tenant == tenant, any_of(table.entry_id, [int(entry) for entry in entries]))
        .order_by(table.entry_id)
    )
    rows = connection.execute(query).all()
    return {
        str(entry): erased_digest((row.source, row.ref, digest(row.replacement)) for row in group)
        for entry, group in groupby(rows, key=lambda row: row.entry_id)
    }


def _frontier(size: int, hashed: bytes) -> Frontier:
    raw = bytes(hashed)
    return Frontier(size, [raw[i : i + _HASH_BYTES] for i in range(0, len(raw), _HASH_BYTES)])


def _xid(connection: Connection, which: str) -> int:
    snapshot = getattr(func, which)(func.pg_current_snapshot())
    return int(connection.execute(select(cast(cast(snapshot, Text), BigInteger))).scalar_one())


def _copy(connection: Connection, statement: str, rows: Iterable[Sequence[Any]]) -> None:
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
