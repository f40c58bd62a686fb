"""What operators see as metadata."""

from decimal import Decimal

import pandas as pd

from psa_erp_assets.defs import presenting


def test_a_cell_cannot_break_out_of_its_table() -> None:
    """A project's name with a pipe, a line break or markup would otherwise destroy the page or run in it."""
    table = presenting.markdown_table(["name"], [["a|b\n<script>x</script> `c`"]])
    assert table.md_str.splitlines()[2] == "| a\\|b &lt;script>x&lt;/script> 'c' |"


def test_a_long_table_and_a_long_cell_are_cut() -> None:
    """Metadata are stored with every run: ten thousand failing rows belong in the lake and not there."""
    frame = pd.DataFrame({"text": ["x" * 1000] * 1000})
    lines = presenting.rows_table(frame).md_str.splitlines()
    assert len(lines) == presenting.MOST_ROWS + 2
    assert max(map(len, lines)) < 200


def test_currencies_are_never_added_up() -> None:
    """A total of dollars and pounds means nothing."""
    frame = pd.DataFrame(
        [[Decimal("10.10"), "USD"], [Decimal("0.20"), "USD"], [Decimal(5), "GBP"], [None, None]],
        columns=["amount", "currency"],
        dtype=object,
    )
    [value] = presenting.amounts_of(frame, "amount", "currency").values()
    assert value.md_str.splitlines()[2:] == ["| GBP | 5.00 |", "| USD | 10.30 |"]


def test_a_link_to_the_console_quotes_what_it_is_given() -> None:
    """An entity's code with an ampersand would cut the link."""
    link = presenting.console_link("http://127.0.0.1:8080", "/postings", entity="A&B", month="2026-09")
    assert link.url == "http://127.0.0.1:8080/postings?entity=A%26B&month=2026-09"
