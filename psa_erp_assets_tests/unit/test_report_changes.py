"""The arithmetic of causes: the parts of a difference are the whole of it, and what is not explained is seen."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.domain.report_changes import CAUSES, Cause, Change, Measure, Part, with_rest
from psa_erp_assets.settings import REPOSITORY

amounts = st.decimals(min_value=-1_000_000, max_value=1_000_000, places=4, allow_nan=False)
parts = st.lists(
    st.builds(
        lambda cause, amount, ids: Part(cause=cause, amount=amount, items=len(ids), ids=tuple(ids)),
        st.sampled_from(Cause),
        amounts,
        st.lists(st.text(min_size=1, max_size=3), max_size=3),
    ),
    max_size=6,
    unique_by=lambda part: part.cause,
)


@given(difference=amounts, found=parts)
def test_the_parts_always_come_to_the_difference(difference: Decimal, found: list[Part]) -> None:
    """A report would explain more or less than what has changed."""
    whole = with_rest(difference, tuple(found))
    assert sum((part.amount for part in whole), Decimal(0)) == difference
    assert len({part.cause for part in whole}) == len(whole)
    known = [part for part in whole if part.cause is not Cause.UNATTRIBUTED]
    assert sorted(known, key=str) == sorted((p for p in found if p.cause is not Cause.UNATTRIBUTED), key=str)
    sizes = [abs(part.amount) for part in known]
    assert sizes == sorted(sizes, reverse=True)


def test_the_rest_is_named_and_not_hidden() -> None:
    """A difference between the facts and the mart would be spread over causes that it does not have."""
    edit = Part(cause=Cause.EDIT, amount=Decimal(70), items=1, ids=("e1",))
    change = Change(
        measure=Measure.BILLED,
        legal_entity="UK",
        contract_id="C-1",
        month="2026-09",
        currency="GBP",
        before=Decimal(10),
        after=Decimal(100),
        parts=with_rest(Decimal(90), (edit,)),
    )
    assert (change.difference, change.unattributed) == (90, 20)
    assert [part.cause for part in change.parts] == [Cause.EDIT, Cause.UNATTRIBUTED]
    assert with_rest(Decimal(70), (edit,)) == (edit,)


def test_the_documents_explain_each_cause() -> None:
    """Somebody reads a cause in a report and finds nothing about it."""
    text = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    assert [c for c in Cause if f"| `{c.value}` | {CAUSES[c]} |" not in text] == []
