"""Likely matches: what counts as the same name, what a match is worth, and what is said for it."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.domain.matching import (
    LEAST,
    Method,
    Named,
    find_matches,
    local_part,
    organization_name,
    person_name,
    plain_name,
)
from psa_erp_assets.services.mapping_matching import similar


def score(a: Named, b: Named, normal: object = organization_name) -> Decimal | None:
    found = find_matches(a, [b], similar=similar, normal=normal)  # type: ignore[arg-type]
    return found[0].score if found else None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Kestrel Energy, Ltd.", "KESTREL ENERGY PLC"),
        ("Müller & Söhne GmbH", "Mueller and Soehne".replace("ue", "u").replace("oe", "o")),
        ("Société Générale S.A.", "Societe Generale"),
        ("Osprey  Shipping Limited", "osprey shipping"),
        ("Straße AG", "Strasse"),
    ],
)
def test_legal_forms_accents_and_case_are_no_part_of_a_companys_name(one: str, other: str) -> None:
    """Half of the customers would be proposed by chance, or not at all."""
    assert organization_name(one) == organization_name(other)


def test_a_name_of_nothing_but_a_legal_form_stays() -> None:
    """ "The Group Ltd" of two owners would be one customer with an empty name."""
    assert organization_name("Holding AG") == "holding ag"


def test_a_person_is_the_same_whichever_name_comes_first() -> None:
    """HR writes the last name first and the PSA last."""
    assert person_name("Fischer, Benjamin") == person_name("Benjamin Fischer")


@pytest.mark.parametrize(
    ("email", "part"),
    [("Ben.Fischer+psa@x.example", "benfischer"), ("ben@x.example", "ben"), ("none", None), (None, None), ("@x", None)],
)
def test_the_local_part_of_an_address(email: str | None, part: str | None) -> None:
    """A person who moved from one mail domain to another would not be found."""
    assert local_part(email) == part


def test_exact_needs_a_whole_name_or_code_and_nothing_against_it() -> None:
    """A guess would be shown as a certainty."""
    kestrel = Named(id="1", name="Kestrel Ltd", countries=("GB",))
    same = Named(id="70", name="KESTREL", countries=("GB", "FR"))
    abroad = Named(id="71", name="Kestrel", countries=("FR",))
    near = Named(id="72", name="Kestrels", countries=("GB",))
    found = find_matches(kestrel, [near, abroad, same], similar=similar, normal=organization_name)
    assert [(m.id, m.method) for m in found] == [("70", Method.EXACT), ("72", Method.FUZZY), ("71", Method.FUZZY)]
    assert any("another country" in line for line in found[2].evidence)


def test_two_kinds_of_evidence_are_a_score_of_one() -> None:
    """The surest match would stand below a lucky one."""
    one = Named(id="1", name="Ben Fischer", email="ben.fischer@old.example")
    two = Named(id="2", name="Fischer, Ben", email="benfischer@new.example")
    assert score(one, two, person_name) == Decimal("1.0000")


def test_names_that_have_little_in_common_are_not_proposed() -> None:
    """A steward would wade through nonsense."""
    assert score(Named(id="1", name="Kestrel"), Named(id="2", name="Osprey Shipping")) is None


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=30)


@given(NAMES, NAMES, st.sampled_from([plain_name, organization_name, person_name]))
def test_any_two_names_have_a_score_between_nought_and_one(a: str, b: str, normal: object) -> None:
    """A name in a script that nobody thought of would stop the refresh."""
    found = find_matches(
        Named(id="1", name=a),
        [Named(id="2", name=b)],
        similar=similar,
        normal=normal,
        least=Decimal(0),  # type: ignore[arg-type]
    )
    assert len(found) == 1
    assert 0 <= found[0].score <= 1
    assert (found[0].score >= LEAST) == bool(
        find_matches(Named(id="1", name=a), [Named(id="2", name=b)], similar=similar, normal=normal)  # type: ignore[arg-type]
    )


@given(st.lists(NAMES, max_size=8), st.integers(1, 4))
def test_the_likeliest_come_first_and_no_more_than_asked(names: list[str], most: int) -> None:
    """The one that is meant would be cut off."""
    others = [Named(id=str(i), name=name) for i, name in enumerate(names)]
    found = find_matches(Named(id="x", name="Kestrel"), others, similar=similar, normal=plain_name, most=most)
    assert len(found) <= most
    assert [m.score for m in found] == sorted((m.score for m in found), reverse=True)
