"""Keys are injective and say nothing of content or time; hashes are of the content and of nothing else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.domain.keys import canonical_json, content_hash, posting_key

PARTS = ("tenant", "erp_company", "effect_type", "object_id", "leg")
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
IDENTITIES = st.fixed_dictionaries({**dict.fromkeys(PARTS, TEXT), "revision": st.integers(0, 10**6)})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(left=IDENTITIES, right=IDENTITIES)
def test_two_identities_have_two_keys(left: dict[str, Any], right: dict[str, Any]) -> None:
    """Two effects under one key: the second is never posted."""
    assert (posting_key(**left) == posting_key(**right)) is (left == right)


@given(text=st.text("ab1", min_size=2, max_size=8), cut=st.integers(0, 8), other=st.integers(0, 8))
def test_text_that_moves_between_two_parts_changes_the_key(text: str, cut: int, other: int) -> None:
    """("ab", "c") and ("a", "bc") run together without the length before each part."""

    def key(at: int) -> str:
        return posting_key(
            tenant=text[:at], erp_company=text[at:], effect_type="x", object_id="y", revision=1, leg="original"
        )

    assert (key(cut) == key(other)) is (min(cut, len(text)) == min(other, len(text)))


def test_the_key_of_a_posting_never_changes() -> None:
    """A key made otherwise by a later release would post everything again."""
    key = posting_key(
        tenant="demo",
        erp_company="1",
        effect_type="billing_line",
        object_id="time_entry:clockify:64c0ffee",
        revision=1,
        leg="original",
    )
    assert key == "828ad73e6f9d5639043586d91162d7b7"
    assert len(key) == 32


@given(body=st.dictionaries(TEXT, JSON, min_size=2, max_size=6), seed=st.randoms(use_true_random=False))
def test_the_order_of_names_changes_nothing(body: dict[str, Any], seed: Any) -> None:
    """A source that orders its fields anew would make a new version of everything."""
    names = list(body)
    seed.shuffle(names)
    assert content_hash({name: body[name] for name in names}) == content_hash(body)


@given(left=st.dictionaries(TEXT, JSON, max_size=4), right=st.dictionaries(TEXT, JSON, max_size=4))
def test_two_contents_have_two_hashes(left: dict[str, Any], right: dict[str, Any]) -> None:
    """An edit that the hash does not see is never read."""
    # As JSON, since to Python True is 1.
    same = json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)
    assert (content_hash(left) == content_hash(right)) is same


@pytest.mark.parametrize("body", [{"a": 1.0}, {"a": [1, {"b": 0.1}]}, {"a": (float("nan"),)}])
def test_a_float_has_no_place_in_a_body(body: dict[str, Any]) -> None:
    """0.1 + 0.2 has another hash than 0.3."""
    with pytest.raises(TypeError, match="float"):
        canonical_json(body)


def test_a_body_has_one_spelling() -> None:
    """Two spellings of one content are two versions of it."""
    assert canonical_json({"b": "ü", "a": [1, None, True]}) == '{"a":[1,null,true],"b":"ü"}'
