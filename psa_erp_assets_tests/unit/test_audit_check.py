"""10,000 random mutations of a log, each of which a verification must notice."""

import datetime as dt
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.adapters import audit_notes
from psa_erp_assets.adapters.audit_notes import SigningKey
from psa_erp_assets.domain import audit
from psa_erp_assets.domain.audit import Leaf, Personal, Sealed, SourceRow, commitment, digest
from psa_erp_assets.domain.audit_check import Checkpoint, Erasure, Findings, Kept, check
from psa_erp_assets.domain.merkle import Frontier, leaf_hash

MUTATIONS = 10_000
NOW = dt.datetime(2026, 10, 5, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Log:
    """Everything that a verification looks at."""

    kept: tuple[Kept, ...]
    stored: tuple[Checkpoint, ...]
    outside: tuple[Checkpoint, ...]

    def check(self) -> Findings:
        return check(iter(self.kept), self.stored, self.outside)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return audit_notes.load_key(tmp_path_factory.mktemp("audit") / "key.pem", "psa-erp/acme")


def make_log(key: SigningKey, rng: random.Random, size: int = 24) -> Log:
    """A log with plain rows, committed ones, those erased of either, and audit entries, signed now and then."""
    frontier, kept, signed = Frontier(), [], []
    for seq in range(1, size + 1):
        one = _one(seq, rng)
        kept.append(one)
        frontier.append(one.hash)
        if rng.random() < 0.3 or seq == size:
            signed.append(key.sign(len(signed) + 1, seq, frontier.root(), NOW))
    outside = tuple(audit_notes.parse(checkpoint.note, key.public) for checkpoint in signed)
    return Log(kept=tuple(kept), stored=tuple(signed), outside=outside)


def _one(seq: int, rng: random.Random) -> Kept:
    kind = ("plain", "committed", "erased", "entry", "explained")[seq % 5]
    salt = rng.randbytes(16)
    said: dict[str, Any] = {"id": seq, "minutes": rng.randrange(1, 500)}
    personal: tuple[Sealed, ...] = ()
    original, now_there, erasure, committed = None, None, None, None
    if kind in ("committed", "erased"):
        original = now_there = digest({"description": f"work {seq}"})
        committed = commitment(salt, original)
        personal = (Sealed(name="content", salt=salt, value="", person=""),)
    if kind == "erased":
        now_there = digest({"description": "erased"})
        erasure, personal = Erasure(replaced_by=now_there, entry_ref="1"), ()
    if kind == "entry":
        sealed_detail, sealed = audit.seal({"who": Personal("Jane", "u1"), "erased": "e" * 64}, lambda: salt)
        said["detail"], personal = sealed_detail, tuple(sealed)
    row = SourceRow(
        source="audit_entry" if kind == "entry" else "inbox",
        ref=str(seq),
        kind=f"kind.{kind}",
        subject=f"s{seq}",
        actor="a",
        at=NOW.isoformat(),
        said=said,
        personal=now_there,
    )
    leaf = row.leaf("acme", seq, committed)
    erased, since = "e" * 64 if kind == "entry" else None, None
    if kind == "explained":
        # What the leaf has the hash of was said before the erasure.
        row = replace(row, said={**row.said, "reason": "erased"})
        since = digest(row.document(None))
    return Kept(
        leaf=leaf,
        hash=leaf.hash(),
        commitment=committed,
        row=row,
        personal=personal,
        erasure=erasure,
        erased=erased,
        since=since,
    )


Mutation = Callable[[Log, random.Random], Log]


def _with(log: Log, index: int, one: Kept) -> Log:
    return replace(log, kept=(*log.kept[:index], one, *log.kept[index + 1 :]))


def _at(log: Log, rng: random.Random, condition: Callable[[Kept], bool] = lambda _: True) -> int:
    return rng.choice([i for i, one in enumerate(log.kept) if condition(one)])


def edit_leaf(log: Log, rng: random.Random) -> Log:
    """A column of an entry is edited."""
    i = _at(log, rng)
    one, name = log.kept[i], rng.choice(["tenant", "source", "ref", "kind", "subject", "actor", "at", "content"])
    return _with(log, i, replace(one, leaf=replace(one.leaf, **{name: getattr(one.leaf, name) + "x"})))


def edit_leaf_and_hash(log: Log, rng: random.Random) -> Log:
    """An entry is edited by somebody who knows how it is hashed."""
    i = _at(log, rng)
    leaf = replace(log.kept[i].leaf, actor=f"somebody else {rng.random()}")
    row = log.kept[i].row
    assert row is not None
    return _with(log, i, replace(log.kept[i], leaf=leaf, hash=leaf.hash(), row=replace(row, actor=leaf.actor)))


def edit_row(log: Log, rng: random.Random) -> Log:
    """A row that the log speaks of is edited."""
    i = _at(log, rng)
    row = log.kept[i].row
    assert row is not None
    return _with(log, i, replace(log.kept[i], row=replace(row, said={**row.said, "minutes": rng.randrange(500, 900)})))


def edit_row_and_all_above(log: Log, rng: random.Random) -> Log:
    """A row is edited, and its leaf, its hash and the commitment made anew, all over the database."""
    i = _at(log, rng)
    one = log.kept[i]
    assert one.row is not None
    row = replace(one.row, said={**one.row.said, "minutes": rng.randrange(500, 900)})
    leaf = row.leaf("acme", one.leaf.seq, one.commitment)
    return _with(log, i, replace(one, row=row, leaf=leaf, hash=leaf.hash()))


def edit_payload(log: Log, rng: random.Random) -> Log:
    """A payload is edited, erased or not."""
    i = _at(log, rng, lambda one: one.row is not None and one.row.personal is not None)
    row = log.kept[i].row
    assert row is not None
    return _with(log, i, replace(log.kept[i], row=replace(row, personal=digest({"description": rng.random()}))))


def edit_salt_or_value(log: Log, rng: random.Random) -> Log:
    """What opens a commitment is edited or lost, without an erasure."""
    i = _at(log, rng, lambda one: bool(one.personal))
    one = log.kept[i]
    sealed = replace(one.personal[0], salt=rng.randbytes(16)) if rng.random() < 0.5 else None
    return _with(log, i, replace(one, personal=() if sealed is None else (sealed,)))


def edit_commitment(log: Log, rng: random.Random) -> Log:
    """A commitment is edited, or taken away."""
    i = _at(log, rng, lambda one: one.commitment is not None)
    return _with(log, i, replace(log.kept[i], commitment=rng.choice([None, rng.randbytes(32).hex()])))


def edit_hash(log: Log, rng: random.Random) -> Log:
    """The hash of an entry is edited."""
    i = _at(log, rng)
    return _with(log, i, replace(log.kept[i], hash=rng.randbytes(32)))


def invent_erasure(log: Log, rng: random.Random) -> Log:
    """A payload is put away as if it were erased, with other rows than the entry names."""
    i = _at(log, rng, lambda one: one.leaf.source == "audit_entry")
    return _with(log, i, replace(log.kept[i], erased=rng.choice([None, rng.randbytes(32).hex()])))


def edit_explanation(log: Log, rng: random.Random) -> Log:
    """What says what an erasure has left of a row is edited, or taken away."""
    i = _at(log, rng, lambda one: one.since is not None)
    return _with(log, i, replace(log.kept[i], since=rng.choice([None, rng.randbytes(32).hex()])))


def delete_entry(log: Log, rng: random.Random) -> Log:
    """An entry is deleted, with or without the gap being closed."""
    i = _at(log, rng)
    rest = log.kept[i + 1 :]
    if rng.random() < 0.5:
        rest = tuple(_moved(one, one.leaf.seq - 1) for one in rest)
    return replace(log, kept=(*log.kept[:i], *rest))


def delete_row(log: Log, rng: random.Random) -> Log:
    """A row that the log speaks of is deleted."""
    i = _at(log, rng)
    return _with(log, i, replace(log.kept[i], row=None))


def reorder(log: Log, rng: random.Random) -> Log:
    """Two entries change places, with or without their numbers."""
    i, j = rng.sample(range(len(log.kept)), 2)
    kept = list(log.kept)
    kept[i], kept[j] = kept[j], kept[i]
    if rng.random() < 0.5:
        kept[i], kept[j] = _moved(kept[i], i + 1), _moved(kept[j], j + 1)
    return replace(log, kept=tuple(kept))


def insert_entry(log: Log, rng: random.Random) -> Log:
    """An entry is smuggled in among those that were signed."""
    i = _at(log, rng)
    new = _one(i + 1 + 4 * rng.randrange(100, 900), rng)
    return replace(
        log,
        kept=(*log.kept[:i], _moved(new, i + 1), *(_moved(one, one.leaf.seq + 1) for one in log.kept[i:])),
    )


def cut_off(log: Log, rng: random.Random) -> Log:
    """The newest entries are gone."""
    return replace(log, kept=log.kept[: rng.randrange(len(log.kept))])


def restore_backup(log: Log, rng: random.Random) -> Log:
    """The whole database is that of an earlier day, its checkpoints too."""
    count = rng.randrange(len(log.stored))
    size = log.stored[count - 1].size if count else 0
    return replace(log, kept=log.kept[:size], stored=log.stored[:count])


def rewrite_from_backup(log: Log, rng: random.Random) -> Log:
    """An old backup is restored and another history goes on from there."""
    restored = restore_backup(log, rng)
    new = [_one(seq, rng) for seq in range(len(restored.kept) + 1, len(log.kept) + 1)]
    return replace(restored, kept=(*restored.kept, *new))


def edit_checkpoint(log: Log, rng: random.Random) -> Log:
    """A checkpoint outside is edited."""
    i = rng.randrange(len(log.outside))
    note = log.outside[i].note.replace(f"\n{log.outside[i].size}\n", f"\n{log.outside[i].size + 1}\n", 1)
    return replace(log, outside=(*log.outside[:i], _parsed(note), *log.outside[i + 1 :]))


def edit_stored_checkpoint(log: Log, rng: random.Random) -> Log:
    """A checkpoint in the database is edited or deleted."""
    i = rng.randrange(len(log.stored))
    other = () if rng.random() < 0.5 else (replace(log.stored[i], note=log.stored[i].note + "x"),)
    return replace(log, stored=(*log.stored[:i], *other, *log.stored[i + 1 :]))


def delete_checkpoint(log: Log, rng: random.Random) -> Log:
    """A checkpoint outside is deleted."""
    i = rng.randrange(len(log.outside))
    return replace(log, outside=(*log.outside[:i], *log.outside[i + 1 :]))


def sign_anew(log: Log, rng: random.Random) -> Log:
    """Everything is made anew from an edited entry on, and signed with another key."""
    changed = edit_row_and_all_above(log, rng)
    frontier, roots = Frontier(), {}
    for one in changed.kept:
        frontier.append(one.hash)
        roots[frontier.size] = frontier.root()
    signed = tuple(OTHER.sign(c.number, c.size, roots[c.size], NOW) for c in log.stored)
    return replace(changed, stored=signed, outside=tuple(_parsed(c.note) for c in signed))


def _moved(one: Kept, seq: int) -> Kept:
    leaf = replace(one.leaf, seq=seq)
    return replace(one, leaf=leaf, hash=leaf.hash())


MUTATORS: tuple[Mutation, ...] = (
    edit_leaf, edit_leaf_and_hash, edit_row, edit_row_and_all_above, edit_payload, edit_salt_or_value, edit_commitment,
    edit_hash, invent_erasure, delete_entry, delete_row, reorder, insert_entry, cut_off, restore_backup,
    rewrite_from_backup, edit_explanation, edit_checkpoint, edit_stored_checkpoint, delete_checkpoint, sign_anew,
)  # fmt: skip

KEY: SigningKey
OTHER: SigningKey


def _parsed(note: str) -> Checkpoint:
    return audit_notes.parse(note, KEY.public)


@pytest.fixture(scope="module", autouse=True)
def _keys(key: SigningKey, tmp_path_factory: pytest.TempPathFactory) -> None:
    global KEY, OTHER  # noqa: PLW0603 - the mutations take no fixtures
    KEY = key
    OTHER = audit_notes.load_key(tmp_path_factory.mktemp("other") / "key.pem", "psa-erp/acme")


def test_10_000_random_mutations_are_all_noticed(key: SigningKey) -> None:
    """Somebody changes the log, its rows or its checkpoints, and the verification says that all is well."""
    rng = random.Random(20261005)
    missed = []
    log = make_log(key, rng)
    for number in range(MUTATIONS):
        if number % 500 == 0:
            log = make_log(key, rng)
            assert log.check().holds, log.check().problems
        mutate = MUTATORS[number % len(MUTATORS)]
        if mutate(log, rng).check().holds:
            missed.append(mutate.__name__)
    assert missed == []


def test_a_log_as_it_was_holds(key: SigningKey) -> None:
    """The check above would be true of a verification that never agrees; and an erasure alone would break it."""
    found = make_log(key, random.Random(1), size=40).check()
    assert found.holds
    assert (found.leaves, found.erased, found.unchecked) == (40, 16, 0)


def test_a_key_is_readable_for_its_owner_alone_and_made_once(tmp_path: Path) -> None:
    """Somebody else could sign, or each start would sign with another key."""
    path = tmp_path / "home" / "key.pem"
    first = audit_notes.load_key(path, "psa-erp/acme")
    assert path.stat().st_mode & 0o777 == 0o600
    assert audit_notes.load_key(path, "psa-erp/acme").public == first.public
    path.write_text("no key")
    with pytest.raises(audit_notes.NoteError):
        audit_notes.load_key(path, "psa-erp/acme")


def test_a_checkpoint_file_is_never_replaced(tmp_path: Path, key: SigningKey) -> None:
    """A later run could put another root in the place of one that was signed."""
    first, second = (key.sign(1, size, Frontier().root(), NOW) for size in (1, 2))
    audit_notes.write(tmp_path, first)
    audit_notes.write(tmp_path, second)
    assert [path.read_text() for path in tmp_path.iterdir()] == [first.note]


_text = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


@given(_text, _text, _text, st.integers(1, 2**62))
def test_a_leaf_is_hashed_as_its_canonical_body(subject: str, actor: str, ref: str, seq: int) -> None:
    """Nobody else could check a proof, and a log of before would not hold any more."""
    leaf = Leaf(
        tenant="acme", seq=seq, source="inbox", ref=ref, kind="k", subject=subject, actor=actor, at="x", content="c"
    )
    assert leaf.hash() == leaf_hash(audit.canonical(leaf.body()).encode())
