"""Records as JSON bodies and back."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.adapters.store.bodies import from_body, to_body
from psa_erp_assets.domain.keys import content_hash
from psa_erp_assets.domain.records import Amendment, Contract
from psa_erp_assets.domain.terms import ContractKind, Terms
from psa_erp_assets.domain.values import replace
from psa_erp_assets_tests.support.facts import CONTRACT
from psa_erp_assets_tests.support.terms import DAYS, terms

amendments = st.builds(
    Amendment,
    id=st.just("CTR-0001-A1"),
    effective_from=DAYS,
    legal_entity=st.none() | st.just("US"),
    kind=st.none() | st.sampled_from(ContractKind),
    terms=st.none() | terms("JPY"),
    valid_to=st.none() | DAYS,
)


@given(terms(), st.lists(amendments, max_size=3).map(tuple))
def test_a_contract_with_its_terms_goes_there_and_back(stated: Terms, changes: tuple[Amendment, ...]) -> None:
    """A cap that comes back as text, or a list where a tuple was, is found out by a wrong invoice."""
    contract = replace(CONTRACT, terms=stated, amendments=changes)
    body = json.loads(json.dumps(to_body(contract)))
    back = from_body(Contract, body)
    assert back == contract
    assert repr(back) == repr(contract)
    assert content_hash(to_body(back)) == content_hash(body)


@given(terms())
def test_no_float_is_in_a_body(stated: Terms) -> None:
    """The hash of a body refuses one, and with it the whole refresh."""
    content_hash(to_body(replace(CONTRACT, terms=stated)))


def test_what_a_body_does_not_have_is_as_by_default() -> None:
    """Records from before a field was added could not be read any more."""
    body = to_body(CONTRACT)
    del body["amendments"]
    assert from_body(Contract, body) == CONTRACT


@dataclass(frozen=True)
class _Weighed:
    weight: float


@dataclass(frozen=True)
class _Anything:
    value: Any


@pytest.mark.parametrize("record_type", [_Weighed, _Anything])
def test_a_field_that_has_no_way_back_is_refused(record_type: type[Any]) -> None:
    """It would come back as what JSON makes of it, and nobody would know."""
    with pytest.raises(TypeError, match="no way back"):
        from_body(record_type, {})
