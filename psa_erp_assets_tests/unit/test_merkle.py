"""Merkle trees against the definitions of RFC 9162, written down here once more without the code under test."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.domain import merkle

LEAVES = st.lists(st.binary(max_size=8), max_size=70)


def defined_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162, 2.1.1."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + defined_root(leaves[:k]) + defined_root(leaves[k:])).digest()


def hashed(leaves: list[bytes]) -> list[bytes]:
    return [merkle.leaf_hash(leaf) for leaf in leaves]


@given(LEAVES)
def test_the_root_is_that_of_the_definition(leaves: list[bytes]) -> None:
    """Nobody else's verifier would come to our root."""
    assert merkle.root_of(hashed(leaves)) == defined_root(leaves)


@given(LEAVES, st.integers(0, 70))
def test_a_frontier_goes_on_where_it_was_put_down(leaves: list[bytes], at: int) -> None:
    """A log that is sealed in several goes would have another root than one sealed at once."""
    first = merkle.Frontier()
    for leaf in hashed(leaves[:at]):
        first.append(leaf)
    second = merkle.Frontier(first.size, first.hashes)
    for leaf in hashed(leaves[at:]):
        second.append(leaf)
    assert (second.size, second.root()) == (len(leaves), defined_root(leaves))


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=70), st.data())
def test_an_inclusion_proof_proves_just_its_leaf(leaves: list[bytes], data: st.DataObject) -> None:
    """A true entry could not be proved, or a false one could."""
    index = data.draw(st.integers(0, len(leaves) - 1))
    hashes, root = hashed(leaves), defined_root(leaves)
    proof = merkle.inclusion_proof(hashes, index)
    assert merkle.verify_inclusion(hashes[index], index, len(leaves), proof, root)
    assert not merkle.verify_inclusion(merkle.leaf_hash(b"another entry"), index, len(leaves), proof, root)
    assert not merkle.verify_inclusion(hashes[index], index, len(leaves), [*proof, root], root)
    assert not merkle.verify_inclusion(hashes[index], len(leaves), len(leaves), proof, root)
    if proof:
        assert not merkle.verify_inclusion(hashes[index], index, len(leaves), proof[1:], root)


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=70), st.data())
def test_a_consistency_proof_proves_just_a_beginning(leaves: list[bytes], data: st.DataObject) -> None:
    """A log that was rewritten could pass for one that has only grown."""
    first = data.draw(st.integers(1, len(leaves)))
    hashes = hashed(leaves)
    old, new = defined_root(leaves[:first]), defined_root(leaves)
    proof = merkle.consistency_proof(hashes, first)
    assert merkle.verify_consistency(first, old, len(leaves), new, proof)
    other = defined_root([b"another entry", *leaves[1:first]])
    if other != old:
        assert not merkle.verify_consistency(first, other, len(leaves), new, proof)
    if first < len(leaves):
        assert not merkle.verify_consistency(first, old, len(leaves), new, [*proof, new])
        assert not merkle.verify_consistency(first, old, len(leaves), new, proof[:-1])


def test_leaves_that_are_not_there_are_refused() -> None:
    """A proof of an entry that does not exist would be made of others."""
    with pytest.raises(IndexError):
        merkle.inclusion_proof([merkle.leaf_hash(b"")], 1)
    with pytest.raises(IndexError):
        merkle.consistency_proof([merkle.leaf_hash(b"")], 2)
    with pytest.raises(ValueError, match="full subtrees"):
        merkle.Frontier(3, [b""])
