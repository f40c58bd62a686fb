"""Partition keys and back."""

import pytest

from psa_erp_assets.defs.partitions import key_of, partition_of, runnable


def test_a_key_leads_back_to_its_partition() -> None:
    """A run would otherwise work on another entity's month than the one that was asked for."""
    key = key_of(("UK", "2026-09"))
    assert str(key) == "UK|2026-09"
    assert partition_of(key) == partition_of("UK|2026-09") == ("UK", "2026-09")


@pytest.mark.parametrize("month", ["2026-9", "2026-13", "September", ""])
def test_what_is_no_month_makes_no_key(month: str) -> None:
    """A misspelled month would become a partition that nothing is ever in."""
    with pytest.raises(ValueError, match="service month"):
        key_of(("UK", month))


def test_months_far_away_are_told_apart_from_those_with_keys() -> None:
    """A run for a key that does not exist fails in the daemon and stops the requests beside it."""
    known, outside = runnable([("UK", "2026-09"), ("UK", "1999-12"), ("UK", "2999-01")])
    assert known == [("UK", "2026-09")]
    assert outside == [("UK", "1999-12"), ("UK", "2999-01")]
