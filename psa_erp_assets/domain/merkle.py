"""Merkle trees over a log that only grows: roots, inclusion proofs and consistency proofs as in RFC 6962 and RFC 9162.

Hashes are SHA-256. A leaf's hash begins with the byte 0 and a node's with the byte 1, so that neither can be taken for
the other. What belongs here: the tree. What does not: what a leaf says (`domain.audit`).
"""

import hashlib
from collections.abc import Iterable, Sequence

_LEAF, _NODE = b"\x00", b"\x01"
EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of a tree without leaves (RFC 9162, 2.1.1)."""


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf with this content."""
    return hashlib.sha256(_LEAF + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of the node above two others."""
    return hashlib.sha256(_NODE + left + right).digest()


class Frontier:
    """The roots of the full subtrees of a tree, largest first: enough to append to it and to know its root.

    A tree of n leaves has as many of them as n has binary ones.
    """

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self.size, self._hashes = size, list(hashes)
        if len(self._hashes) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} full subtrees, not {len(self._hashes)}")

    def append(self, hashed_leaf: bytes) -> None:
        """Add the hash of a leaf at the end."""
        node, size = hashed_leaf, self.size
        while size & 1:
            node, size = node_hash(self._hashes.pop(), node), size >> 1
        self._hashes.append(node)
        self.size += 1

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """The roots of the full subtrees."""
        return tuple(self._hashes)

    def root(self) -> bytes:
        """The root of the tree as it is now."""
        if not self._hashes:
            return EMPTY_ROOT
        root = self._hashes[-1]
        for left in reversed(self._hashes[:-1]):
            root = node_hash(left, root)
        return root


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root of a tree with these hashes of leaves."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes that lead from a leaf to the root, nearest first (RFC 9162, 2.1.3.1).

    Raises IndexError where there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(f"leaf {index} of {len(leaves)}")
    proof: list[bytes] = []
    position, level = index, list(leaves)
    while len(level) > 1:
        sibling = position ^ 1
        if sibling < len(level):
            proof.append(level[sibling])
        level, position = _above(level), position >> 1
    return proof


def consistency_proof(leaves: Sequence[bytes], first: int) -> list[bytes]:
    """The hashes that show that the tree of the first leaves is the beginning of this one (RFC 9162, 2.1.4.1).

    Raises IndexError unless there are from 1 to all of them.
    """
    if not 1 <= first <= len(leaves):
        raise IndexError(f"the first {first} of {len(leaves)} leaves")
    proof: list[bytes] = []
    low, high, is_whole = 0, len(leaves), True
    rest = first
    while rest != high - low:
        half = 1 << ((high - low - 1).bit_length() - 1)
        if rest <= half:
            proof.append(root_of(leaves[low + half : high]))
            high = low + half
        else:
            proof.append(root_of(leaves[low : low + half]))
            low, rest, is_whole = low + half, rest - half, False
    if not is_whole:
        proof.append(root_of(leaves[low:high]))
    return proof[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof shows that this hash of a leaf is at the index in the tree of this size and root."""
    if not 0 <= index < size:
        return False
    position, last, node, steps = index, size - 1, leaf, list(proof)
    while last:
        if position & 1 or position < last:
            if not steps:
                return False
            sibling = steps.pop(0)
            node = node_hash(sibling, node) if position & 1 else node_hash(node, sibling)
        position, last = position >> 1, last >> 1
    return not steps and node == root


def verify_consistency(first: int, first_root: bytes, second: int, second_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the proof shows that the larger tree begins with the smaller one (RFC 9162, 2.1.4.2)."""
    if not 1 <= first <= second:
        return False
    if first == second:
        return not proof and first_root == second_root
    steps = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    if not steps:
        return False
    position, last = first - 1, second - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while position and not position & 1:
                position, last = position >> 1, last >> 1
        else:
            new = node_hash(new, step)
        position, last = position >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root


def _above(level: Sequence[bytes]) -> list[bytes]:
    """The next level up; a node without a sibling goes up as it is."""
    nodes = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    return [*nodes, level[-1]] if len(level) % 2 else nodes
