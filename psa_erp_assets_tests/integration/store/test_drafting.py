"""Contracts' months are decided about a few at a time, for speed; what comes of each must not depend on the others."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from psa_erp_assets.adapters.postgres import ServerInfo, drop_database
from psa_erp_assets.adapters.store import fingerprints
from psa_erp_assets.adapters.store.engine import make_engine
from psa_erp_assets.adapters.store.postings import PgPostingStore
from psa_erp_assets.benchmarks.seeding import seed_database
from psa_erp_assets.benchmarks.world import MONTH, make_world
from psa_erp_assets.domain.decide import Decider
from psa_erp_assets.services import canonical
from psa_erp_assets.services.drafting import make_drafts

_DATABASE = "drafting_test"
_WORLD = make_world()


@pytest.fixture(scope="module")
def month(postgres_server: ServerInfo) -> Iterator[Engine]:
    """A month of 216 contracts of every kind in four legal entities."""
    seed_database(postgres_server, _DATABASE, 1_500, _WORLD)
    engine = make_engine(postgres_server.url(_DATABASE))
    yield engine
    engine.dispose()
    drop_database(postgres_server, _DATABASE)


@pytest.mark.parametrize("legal_entity", ["US", "UK"])
def test_a_contract_is_planned_alike_alone_and_among_others(month: Engine, legal_entity: str) -> None:
    """A plan would be overtaken at once, as it is checked with other contracts than it was made with; or worse, what
    belongs to one contract would be planned in the section of another.
    """
    scope, partition = _WORLD.scope, (legal_entity, str(MONTH))
    with month.connect() as connection:
        decider = Decider(canonical.load_master(connection, scope), scope.rules)
        store = PgPostingStore(month, scope.tenant)
        contracts = fingerprints.contracts_of(connection, scope.tenant, partition)
        together = make_drafts(connection, store, scope, partition, contracts, decider=decider)
        alone = {c: make_drafts(connection, store, scope, partition, [c], decider=decider) for c in contracts}

    assert len(contracts) > 50
    assert (None in contracts) is (legal_entity == scope.rules.default_legal_entity)
    assert sum(len(draft.items) for draft in together.by_contract.values()) > 500
    assert together.by_contract == {c: drafts.by_contract[c] for c, drafts in alone.items()}
    assert together.closings == {c: left for drafts in alone.values() for c, left in drafts.closings.items()}
    every = sorted((d for drafts in alone.values() for d in drafts.decisions), key=lambda d: d.object_id)
    assert list(together.decisions) == every
