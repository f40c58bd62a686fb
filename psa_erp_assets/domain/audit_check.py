"""Whether a log is what it was: each leaf against its row, and the tree against every signed checkpoint.

Pure, over what a reader hands it, so that the same rules judge the database and a copy of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from psa_erp_assets.domain.audit import Leaf, Sealed, SourceRow, commitment, commitment_at, digest
from psa_erp_assets.domain.merkle import Frontier

MOST_PROBLEMS = 1_000
"""Beyond these, problems are counted and no longer described."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """Personal data of a row were erased: the hash of what took their place, and the entry that says why."""

    replaced_by: str
    entry_ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A leaf as stored, with everything that bears on it. `row` is None where it is gone.

    `personal` opens commitments. `erased` is the hash over all that an entry says it has erased, and None for entries
    that erased nothing. `since` is the hash of what the row says since an erasure took a text out of it that no
    commitment stands for; the leaf keeps the hash of what it said before.
    """

    leaf: Leaf
    hash: bytes
    commitment: str | None
    row: SourceRow | None
    personal: Sequence[Sealed] = ()
    erasure: Erasure | None = None
    erased: str | None = None
    since: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A root of the log that was signed. `trusted` is whether its signature is of the key that is known."""

    number: int
    size: int
    root: bytes
    note: str
    trusted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is not as it was."""

    what: str
    seq: int | None
    detail: str


@dataclass(slots=True)
class Findings:
    """What a verification found. `unchecked` are leaves that no checkpoint outside of the database covers yet."""

    leaves: int = 0
    checkpoints: int = 0
    unchecked: int = 0
    erased: int = 0
    count: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether everything is as it was."""
        return not self.count

    def add(self, what: str, seq: int | None, detail: str) -> None:
        """One problem more."""
        self.count += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(what=what, seq=seq, detail=detail))


def check(kept: Iterable[Kept], stored: Sequence[Checkpoint], outside: Sequence[Checkpoint]) -> Findings:
    """Judge a log.

    `kept` are its leaves by `seq`, `stored` the checkpoints in the database and `outside` those in files, by number.
    """
    found = Findings(checkpoints=len(outside))
    sizes = {checkpoint.size for checkpoint in (*stored, *outside)}
    frontier = Frontier()
    roots: dict[int, bytes] = {0: frontier.root()}
    for one in kept:
        found.leaves += 1
        if one.leaf.seq != found.leaves:
            found.add("gap", one.leaf.seq, f"entry {found.leaves} is missing, or entries are out of order")
            found.leaves = one.leaf.seq
        _check_leaf(one, found)
        frontier.append(one.hash)
        if frontier.size in sizes:
            roots[frontier.size] = frontier.root()
    _check_checkpoints(roots, found, stored, outside)
    return found


def _check_leaf(one: Kept, found: Findings) -> None:
    leaf, row = one.leaf, one.row
    if leaf.hash() != one.hash:
        found.add("edited", leaf.seq, "the entry's hash is not that of what it says")
    if row is None:
        found.add("deleted", leaf.seq, f"the row {leaf.source} {leaf.ref} is gone")
        return
    if one.since is not None:
        _check_since(one, row, found)
    elif row.leaf(leaf.tenant, leaf.seq, one.commitment) != leaf:
        found.add("edited", leaf.seq, f"the row {leaf.source} {leaf.ref} does not say what it said")
    found.erased += one.erasure is not None or one.since is not None
    if leaf.source == "audit_entry":
        _check_entry(one, row.said, found)
    elif one.erasure is not None:
        _check_erased(one, one.erasure, row, found)
    elif row.personal is not None:
        _check_commitment(one, row.personal, found)


def _check_erased(one: Kept, erasure: Erasure, row: SourceRow, found: Findings) -> None:
    leaf = one.leaf
    if one.personal:
        found.add("not_erased", leaf.seq, "what was erased can still be opened")
    if row.personal is not None and row.personal != erasure.replaced_by:
        found.add("edited", leaf.seq, f"{leaf.source} {leaf.ref} does not say what the erasure put in its place")


def _check_commitment(one: Kept, personal: str, found: Findings) -> None:
    leaf, opened = one.leaf, one.personal[0] if len(one.personal) == 1 else None
    if one.commitment is None or opened is None:
        found.add("edited", leaf.seq, "what opens the commitment is gone, and no erasure says why")
    elif commitment(opened.salt, personal) != one.commitment:
        found.add("edited", leaf.seq, f"the content of {leaf.source} {leaf.ref} is not what was committed to")


def _check_since(one: Kept, row: SourceRow, found: Findings) -> None:
    leaf = one.leaf
    if replace(row.leaf(leaf.tenant, leaf.seq, one.commitment), content=leaf.content) != leaf:
        found.add("edited", leaf.seq, f"the row {leaf.source} {leaf.ref} is not about what it was about")
    if digest(row.document(one.commitment)) != one.since:
        found.add("edited", leaf.seq, f"{leaf.source} {leaf.ref} does not say what the erasure left of it")


def _check_entry(one: Kept, said: Mapping[str, object], found: Findings) -> None:
    detail = said.get("detail")
    names = set(_commitments(detail))
    there = {value.name for value in one.personal}
    # After an erasure the values of other people may still be there.
    if there - names or (names - there and one.erasure is None):
        found.add("edited", one.leaf.seq, "personal values of the entry are gone or are too many")
    for value in one.personal:
        if commitment(value.salt, value.value) != commitment_at(detail, value.name):
            found.add("edited", one.leaf.seq, f"the personal value {value.name} is not what was committed to")
    if isinstance(detail, Mapping) and "erased" in detail and detail["erased"] != one.erased:
        found.add("edited", one.leaf.seq, "the rows that it erased are not those that it names")


def _commitments(detail: object, name: str = "") -> Iterable[str]:
    """The names of the commitments in the detail of an entry."""
    if isinstance(detail, Mapping):
        if set(detail) == {"commitment"} and name:
            yield name
            return
        for key, item in detail.items():
            yield from _commitments(item, f"{name}/{key}" if name else str(key))
    elif isinstance(detail, list):
        for number, item in enumerate(detail):
            yield from _commitments(item, f"{name}/{number}")


def _check_checkpoints(
    roots: Mapping[int, bytes], found: Findings, stored: Sequence[Checkpoint], outside: Sequence[Checkpoint]
) -> None:
    last = outside[-1].size if outside else 0
    found.unchecked = max(0, found.leaves - last)
    size = 0
    for number, checkpoint in enumerate(outside, start=1):
        if checkpoint.number != number:
            found.add("checkpoint", None, f"the checkpoint {number} is missing outside of the database")
            break
    for checkpoint in outside:
        if not checkpoint.trusted:
            found.add("checkpoint", None, f"checkpoint {checkpoint.number} is not signed by the known key")
        elif checkpoint.size > found.leaves:
            missing = checkpoint.size - found.leaves
            found.add(
                "cut_off",
                found.leaves + 1,
                f"checkpoint {checkpoint.number} had {checkpoint.size} entries; {missing} are gone: they were cut off,"
                " or an old backup was restored",
            )
        elif roots.get(checkpoint.size) != checkpoint.root:
            found.add(
                "rewritten",
                None,
                f"the first {checkpoint.size} entries are not those of checkpoint {number_of(checkpoint)}",
            )
        if checkpoint.size < size:
            found.add("checkpoint", None, f"checkpoint {checkpoint.number} is of fewer entries than the one before")
        size = checkpoint.size
    notes = {checkpoint.number: checkpoint.note for checkpoint in outside}
    for checkpoint in stored:
        if notes.pop(checkpoint.number, None) != checkpoint.note:
            found.add(
                "checkpoint", None, f"checkpoint {checkpoint.number} is another in the database than outside of it"
            )
    for number in notes:
        found.add("checkpoint", None, f"checkpoint {number} is not in the database: an old backup was restored")


def number_of(checkpoint: Checkpoint) -> str:
    """The number as a file name has it."""
    return f"{checkpoint.number:09d}"
