"""Dated mappings: whatever decisions are made in whatever order, a source id stands for one canonical id on a day."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.domain.links import CANONICAL, DAY, Link, NewSpan, Span, change_of
from psa_erp_assets.domain.values import replace
from psa_erp_assets_tests.support.facts import CUSTOMER, EMPLOYEE, FIRST, PROJECT, make_master
from psa_erp_assets_tests.support.facts import DAY as WORKED

START = dt.date(2026, 1, 1)
Decision = tuple[str | None, int, int | None]
DECISIONS = st.lists(
    st.tuples(st.sampled_from(["A", "B", "C", None]), st.integers(0, 20), st.none() | st.integers(0, 15)), max_size=12
)


def decide(story: list[Span], decision: Decision) -> list[Span]:
    """The story after a decision, as the store keeps it: rows are ended and added, never moved."""
    who, first_day, length = decision
    first = START + dt.timedelta(days=first_day)
    last = None if length is None else first + dt.timedelta(days=length)
    new = None if who is None else NewSpan(canonical_id=who, valid_from=first, valid_to=last, method="x")
    change = change_of(story, new, first=first, last=last)
    assert all(s.valid_to is None for s in story if s.id in change.ended), "a last day on record is never changed"
    kept = [replace(s, valid_to=change.ended[s.id]) if s.id in change.ended else s for s in story]
    # What is replaced holds on no day any more; here that is said by its days.
    kept = [replace(s, valid_to=s.valid_from - DAY) if s.id in change.replaced else s for s in kept]
    begun = [
        Span(
            id=len(story) + i,
            canonical_id=s.canonical_id,
            valid_from=s.valid_from,
            valid_to=s.valid_to,
            method=s.method,
        )
        for i, s in enumerate(change.begun)
    ]
    return kept + begun


def on(story: list[Span], day: dt.date) -> list[str]:
    return [s.canonical_id for s in story if s.valid_from <= day and (s.valid_to is None or day <= s.valid_to)]


@given(DECISIONS)
def test_mappings_never_overlap_and_the_latest_decision_about_a_day_counts(decisions: list[Decision]) -> None:
    """An hour would belong to two people, or to one whom a later decision has taken it from."""
    story: list[Span] = []
    for decision in decisions:
        story = decide(story, decision)
    for offset in range(40):
        day = START + dt.timedelta(days=offset)
        about = [
            who for who, first, length in decisions if first <= offset and (length is None or offset <= first + length)
        ]
        expected = [about[-1]] if about and about[-1] is not None else []
        assert on(story, day) == expected


@given(DECISIONS)
def test_a_story_has_one_open_end_at_most(decisions: list[Decision]) -> None:
    """The store would refuse a decision that is right: it keeps one open mapping of a source id."""
    story: list[Span] = []
    for decision in decisions:
        story = decide(story, decision)
        assert sum(s.valid_to is None for s in story) <= 1


def test_a_decision_for_some_days_leaves_what_comes_after() -> None:
    """Somebody who stood in for a week would have the account for good."""
    story = decide(decide([], ("A", 0, None)), ("B", 5, 2))
    assert [on(story, START + i * DAY) for i in (4, 5, 7, 8)] == [["A"], ["B"], ["B"], ["A"]]


def test_the_last_day_is_not_before_the_first() -> None:
    """A mapping that never holds would be accepted as if it did."""
    with pytest.raises(ValueError, match="before the first"):
        change_of([], None, first=START, last=START - DAY)


def link(object_type: str, system: str, source_id: str, canonical_id: str, **changes: object) -> Link:
    plain = Link(
        object_type=object_type, system=system, source_id=source_id, canonical_id=canonical_id,
        valid_from=FIRST, valid_to=None,
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_a_link_counts_where_the_exact_key_says_nothing() -> None:
    """Exact keys keep their priority: a guess that somebody accepted would beat what HR says."""
    other = replace(EMPLOYEE, id="EMP-0002", psa_user_id=None)
    links = (link("employee", "clockify", "u1", "EMP-0002"), link("employee", "clockify", "u2", "EMP-0002"))
    master = make_master(employees=(EMPLOYEE, other), links=links)
    exact, mapped = master.employee("u1", WORKED), master.employee("u2", WORKED)
    assert exact is not None
    assert mapped is not None
    assert (exact.id, mapped.id) == ("EMP-0001", "EMP-0002")
    assert master.employee("u2", FIRST - DAY) is None
    assert master.employee("u2") is None, "without a date only exact keys count"


def test_what_was_split_off_counts_before_the_exact_key() -> None:
    """A split would do nothing: the exact key is what it is about."""
    other = replace(EMPLOYEE, id="EMP-0002", psa_user_id=None)
    split = link("employee", "clockify", "u1", "EMP-0002", over_exact=True, valid_from=WORKED)
    master = make_master(employees=(EMPLOYEE, other), links=(split,))
    before, after = master.employee("u1", WORKED - DAY), master.employee("u1", WORKED)
    assert before is not None
    assert after is not None
    assert (before.id, after.id) == ("EMP-0001", "EMP-0002")


def test_merges_are_followed_and_end() -> None:
    """A circle that somebody made by two mistakes would hang every plan."""
    second, third = replace(CUSTOMER, id="CUS-0002"), replace(CUSTOMER, id="CUS-0003", erp_party="73")
    links = [
        link("customer", CANONICAL, "CUS-0001", "CUS-0002", over_exact=True),
        link("customer", CANONICAL, "CUS-0002", "CUS-0003", over_exact=True),
    ]
    master = make_master(customers=(CUSTOMER, second, third), links=tuple(links))
    customer = master.customer("CUS-0001", WORKED)
    assert customer is not None
    assert customer.erp_party == "73"
    circle = (*links, link("customer", CANONICAL, "CUS-0003", "CUS-0001", over_exact=True))
    assert make_master(customers=(CUSTOMER, second, third), links=circle).customer("CUS-0001", WORKED) is not None


def test_two_parties_for_one_customer_are_neither() -> None:
    """Which of them is billed would be chance."""
    nobody = replace(CUSTOMER, erp_party=None)
    links = (link("customer", "tryton", "71", "CUS-0001"), link("customer", "tryton", "72", "CUS-0001"))
    customer = make_master(customers=(nobody,), links=links).customer("CUS-0001", WORKED)
    assert customer is not None
    assert customer.erp_party is None


def test_a_project_of_the_psa_without_a_code_is_another_ones_work() -> None:
    """Work on a project that the PSA has twice would wait for ever."""
    master = make_master(links=(link("project", "clockify", "p9", "PRJ-0001"),))
    project = master.project("p9", WORKED)
    assert project is not None
    assert (project.id, project.contract_id) == (PROJECT.id, PROJECT.contract_id)


def test_accounts_count_in_their_own_company() -> None:
    """An account of another company would be posted to, and the ERP refuse it."""
    bare = replace(PROJECT, erp_analytics={})
    links = (
        link("project", "tryton", "601", "PRJ-0001", erp_company="2"),
        link("project", "tryton", "701", "PRJ-0001", erp_company="1"),
    )
    project = make_master(projects=(bare,), links=links).project("p1", WORKED)
    assert project is not None
    assert (project.analytic_in("2"), project.analytic_in("1"), project.analytic_in("3")) == ("601", "701", None)
