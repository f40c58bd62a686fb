"""The stamp in a document's text."""

import datetime as dt

import pytest

from psa_erp_assets.adapters.connectors.tryton.stamp import Stamp, search_pattern


def test_a_stamp_is_read_as_it_was_written_whatever_text_follows():
    """A stock Tryton has no other trace of the key, date and minutes."""
    stamp = Stamp("ab12", dt.date(2026, 9, 14), -95)
    assert str(stamp) == "psa-erp:ab12 2026-09-14 -95min"
    assert Stamp.parse(f"{stamp} Ada Jones: workshop\nsecond line") == stamp


def test_a_stamp_says_which_form_of_entry_it_is_on():
    """Three types of effect are journal entries: one taken for another would be verified against the wrong account."""
    stamp = Stamp("ab12", dt.date(2026, 9, 30), 0, "recognition")
    assert str(stamp) == "psa-erp:ab12 2026-09-30 0min/recognition"
    assert Stamp.parse(f"{stamp} September") == stamp
    assert Stamp.parse(f"{stamp}") == stamp


def test_a_stamp_from_before_there_were_forms_has_none_whatever_its_text_says():
    """Entries that are in the books already must not change their type with the next version."""
    for text in ("recognition", "/recognition", "- 0min/recognition", ""):
        assert Stamp.parse(f"psa-erp:ab12 2026-09-14 5min {text}") == Stamp("ab12", dt.date(2026, 9, 14), 5)


@pytest.mark.parametrize(
    "text",
    [None, "", "by hand", "psa-erp:ab12", "psa-erp:ab12 2026-02-30 5min", "see psa-erp:ab12 2026-09-14 5min"],
)
def test_other_text_is_no_stamp(text):
    """A line entered by hand must not be taken for one of the sync's."""
    assert Stamp.parse(text) is None


@pytest.mark.parametrize("key", ["", "a%", "a_b", "a\\b", "a b"])
def test_a_key_that_sql_like_would_widen_is_refused(key):
    """`_` and `%` match other keys' documents, which would then count as duplicates."""
    with pytest.raises(ValueError, match="letters, digits and hyphens"):
        search_pattern(key)
