"""From what a deal forgot to say to billing lines in a real Tryton, by a steward's word and without the CRM."""

from collections.abc import Iterator

import pytest

from psa_erp_assets.adapters.store import mapping_proposals as rows
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.sandbox.actors import Actors, actors_at
from psa_erp_assets.sandbox.serve import SandboxServer, running_sandbox
from psa_erp_assets.sandbox.tryton.build import Kind
from psa_erp_assets.services import mapping_decisions, mapping_effect, mapping_proposals
from psa_erp_assets.services.mapping_proposals import Proposal
from psa_erp_assets_tests.support.mappings import STEWARD
from psa_erp_assets_tests.support.small_company import small_company
from psa_erp_assets_tests.support.sync import Company, Open
from psa_erp_assets_tests.support.tryton import MakeTryton

pytestmark = pytest.mark.tryton

CONTRACT = "CTR-0031"
BILLING = EffectType.BILLING_LINE


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with running_sandbox(small_company(per_contract=5)) as server:
        yield server


@pytest.fixture(scope="module")
def people(sandbox: SandboxServer) -> Iterator[Actors]:
    with actors_at(sandbox) as actors:
        yield actors


def open_proposals(company: Company, contract: str) -> list[Proposal]:
    with company.runtime.engine.connect() as connection:
        found = rows.listing(connection, company.runtime.settings.tenant)
    return [
        p for p in map(mapping_proposals.of_row, found) if (p.object_type, p.canonical_id) == ("contract", contract)
    ]


def test_a_deal_without_its_projects_is_mapped_billed_and_later_put_right(
    sandbox: SandboxServer, people: Actors, make_tryton: MakeTryton, open_company: Open
) -> None:
    """Work would wait until sales corrects its deal, or be billed twice when it does."""
    deal = next(c for c in sandbox.company.contracts if c.code == CONTRACT)
    projects = [p.psa_id for p in sandbox.company.projects if p.contract == CONTRACT]
    people.change_deal(deal.crm_id, psa_project_ids="")
    company = open_company(sandbox, make_tryton(Kind.COMPANION))
    company.sync()
    held = company.open_items("unknown_project")
    before = company.totals(BILLING)
    assert held
    proposals = open_proposals(company, CONTRACT)
    assert {p.source_id for p in proposals} >= set(projects)
    released = 0
    for proposal in proposals:
        if proposal.source_id not in projects:
            continue
        runtime = company.runtime
        first = runtime.scope.first_day
        with runtime.engine.connect() as connection:
            wish = mapping_decisions.wish_of(
                connection, runtime.settings.tenant, proposal.id, valid_from=first, valid_to=None
            )
        released += mapping_effect.effect_of(runtime.engine, runtime.scope, wish, now=runtime.clock()).released
        mapping_decisions.accept(
            runtime.engine,
            runtime.scope,
            proposal.id,
            actor=STEWARD,
            valid_from=first,
            reason="it is that contract's",
            now=runtime.clock(),
        )
    assert released == len(held)
    company.sync()
    assert company.open_items("unknown_project") == set()
    assert company.totals(BILLING) == company.wanted(BILLING) != before
    books = company.books(BILLING)
    people.change_deal(deal.crm_id, psa_project_ids=";".join(projects))
    assert company.sync()["create"] == 0, "the exact key says the same"
    assert company.books(BILLING) == books
    assert company.open_items("mapping_conflict") == set()
