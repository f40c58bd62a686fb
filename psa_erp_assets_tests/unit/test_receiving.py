"""What may be kept of a delivery, before PostgreSQL is asked."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.services.receiving import NotJsonError, UnusableBodyError, json_text

_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=12,
)
_OBJECTS = st.dictionaries(_TEXTS, _VALUES, max_size=4)
_ODD = b"{}[]\",:\\u0123456789eE+-.tfn \n\t\r\x00\x1f\x0b\xef\xbb\xbf/*'NI"


def is_json(body: bytes) -> bool:
    """What Python's own parser says, which takes NaN as well."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        json.loads(body.decode(), parse_constant=refuse)
    except (ValueError, RecursionError):
        return False
    return True


@given(_OBJECTS | st.lists(_OBJECTS, min_size=1, max_size=3), st.booleans())
def test_all_json_that_can_be_kept_is_kept_as_it_was_written(value: object, escaped: bool) -> None:
    """A vendor's honest delivery would be refused for good, or stored as something else."""
    text = json.dumps(value, ensure_ascii=escaped)
    assert json_text(text.encode(), nesting=64) == text


@given(_OBJECTS, st.lists(st.tuples(st.integers(0, 400), st.sampled_from(_ODD), st.booleans()), max_size=4))
def test_what_is_no_json_is_never_taken(value: object, changes: list[tuple[int, int, bool]]) -> None:
    """The quick parser must not take more than JSON: bodies go to PostgreSQL side by side, with a sign between them."""
    body = bytearray(json.dumps(value).encode())
    for place, odd, instead in changes:
        at = place % (len(body) + 1)
        body[at : at + instead] = bytes([odd])
    try:
        text = json_text(bytes(body), nesting=64)
    except NotJsonError:
        assert not is_json(bytes(body))
    except UnusableBodyError:
        pass
    else:
        assert is_json(bytes(body))
        assert "\x1f" not in text


@pytest.mark.parametrize("body", [b'{"a": ' + b"9" * 10_000 + b"}", b'{"a": ' + b"[" * 62 + b"]" * 62 + b"}"])
def test_json_that_the_quick_parser_gives_up_on_is_kept(body: bytes) -> None:
    """Long numbers are JSON: an honest delivery must not be refused for what a parser finds hard."""
    assert json_text(body, nesting=64) == body.decode()
