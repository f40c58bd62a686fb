"""A real Tryton for tests: templates once a machine, a fresh database and a server where they are asked for.

Templates are kept as dumps in `data/tryton/templates`, or where PSA_ERP_TRYTON_CACHE says.
"""

import hashlib
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from psa_erp_assets.adapters import postgres
from psa_erp_assets.adapters.connectors.tryton.erp import TrytonErp
from psa_erp_assets.adapters.connectors.tryton.master import MasterData
from psa_erp_assets.adapters.connectors.tryton.rpc import TrytonRpc
from psa_erp_assets.adapters.postgres import ServerInfo
from psa_erp_assets.sandbox.company import build_company
from psa_erp_assets.sandbox.tryton.build import FINANCE_USER, Kind, create_database, ensure_template
from psa_erp_assets.sandbox.tryton.environment import TrytonSetupError
from psa_erp_assets.sandbox.tryton.finance import Finance
from psa_erp_assets.sandbox.tryton.server import Credentials, TrytonServer
from psa_erp_assets.settings import REPOSITORY

_numbers = itertools.count(1)

MakeTryton = Callable[[Kind], "RunningTryton"]


@dataclass(frozen=True)
class RunningTryton:
    """A served database with the demo company's master data and no documents."""

    server: TrytonServer
    rpc: TrytonRpc
    finance: Finance

    @property
    def erp(self) -> TrytonErp:
        """A new client of the posting port."""
        return TrytonErp(self.rpc)

    @property
    def master(self) -> MasterData:
        """Its master data, read when asked."""
        return MasterData(self.rpc)

    @cached_property
    def companies(self) -> Mapping[str, str]:
        """Company ids by legal entity: US, UK, DE."""
        return {company.code.removeprefix("ENTITY-"): company.id for company in self.master.companies()}

    @cached_property
    def parties(self) -> Mapping[str, str]:
        """Party ids by customer code."""
        return {party.code: party.id for party in self.master.parties()}

    def project(self, entity: str) -> str:
        """The first project's analytic account in a legal entity."""
        projects = [p for p in self.master.projects() if p.company == self.companies[entity]]
        return min(projects, key=lambda p: p.code).id

    def tax(self, name: str) -> str:
        """A tax by its name."""
        return next(tax.id for tax in self.master.taxes() if tax.name == name)


@pytest.fixture(scope="session")
def tryton_templates(postgres_server: ServerInfo) -> Mapping[Kind, str]:
    """The template databases, built on first use of a machine. Skips where Tryton is not installed."""
    cache = Path(os.environ.get("PSA_ERP_TRYTON_CACHE") or REPOSITORY / "data" / "tryton" / "templates")
    seed = build_company().erp_seed()
    try:
        return {kind: ensure_template(postgres_server, kind, seed, cache) for kind in Kind}
    except TrytonSetupError as error:
        if "no Python at" in str(error):
            pytest.skip(str(error))
        raise


@pytest.fixture(scope="module")
def make_tryton(postgres_server: ServerInfo, tryton_templates: Mapping[Kind, str]) -> Iterator[MakeTryton]:
    """Starts servers, each with a database of its own; all are stopped after the module."""
    with ExitStack() as stack:

        def make(kind: Kind) -> RunningTryton:
            name = f"tryton_test_{next(_numbers)}"
            create_database(postgres_server, tryton_templates[kind], name)
            stack.callback(postgres.drop_database, postgres_server, name)
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="psa-erp-tryton-"))
            server = TrytonServer(postgres_server, name, Path(folder), Credentials.random())
            stack.enter_context(server)
            rpc, finance = stack.enter_context(server.rpc()), stack.enter_context(server.rpc(FINANCE_USER))
            return RunningTryton(server, rpc, Finance(finance))

        yield make


def key_of(*parts: object) -> str:
    """A posting key of a test: like the real ones, 32 hex characters."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
