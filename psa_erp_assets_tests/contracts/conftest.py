"""One running sandbox for the contract tests of a module, and people who act at it."""

import pytest

from psa_erp_assets.sandbox.actors import actors_at
from psa_erp_assets.sandbox.company import build_company
from psa_erp_assets.sandbox.serve import running_sandbox


@pytest.fixture(scope="session")
def company():
    return build_company()


@pytest.fixture(scope="module")
def sandbox(company):
    with running_sandbox(company) as server:
        yield server


@pytest.fixture
def people(sandbox):
    with actors_at(sandbox) as actors:
        yield actors
