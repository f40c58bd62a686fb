"""Changes of projects that no webhook announces: the hourly reading finds them, and the work that they concern."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import Engine

from psa_erp_assets.adapters.store import master_records, work_heads
from psa_erp_assets.domain.records import Project
from psa_erp_assets.sandbox.actors import actors_at
from psa_erp_assets.sandbox.company import build_company
from psa_erp_assets.sandbox.serve import SandboxServer, running_sandbox
from psa_erp_assets.services import refresh, sync
from psa_erp_assets.services.deciding import decide_partition
from psa_erp_assets.services.runtime import Runtime
from psa_erp_assets_tests.support.sources import runtime_at


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with running_sandbox(build_company()) as server:
        yield server


def read_master_data(runtime: Runtime) -> None:
    """As the hourly run reads it, without what only the ERP knows."""
    for kind in ("customers", "contracts", "projects", "psa_users", "employees"):
        refresh.refresh(runtime, kind)


@pytest.fixture
def runtime(sandbox: SandboxServer, clean_store: Engine, tmp_path: Path) -> Iterator[Runtime]:
    """A process that has read everything once."""
    with ExitStack() as stack:
        made = runtime_at(sandbox, clean_store, tmp_path, stack)
        read_master_data(made)
        sync.sweep(made, complete=True)
        yield made


def project(runtime: Runtime, code: str) -> Project:
    with runtime.engine.connect() as connection:
        found = master_records.load_all(
            connection, tenant=runtime.settings.tenant, object_type="project", record_type=Project
        )
    return next(one for one in found if one.code == code)


def held_as_closed(runtime: Runtime) -> set[str]:
    """The objects that wait because their project is closed, of all partitions."""
    with runtime.engine.connect() as connection:
        return {
            decision.object_id
            for partition in work_heads.partitions(connection, runtime.settings.tenant)
            for decision in decide_partition(connection, runtime.scope, partition).decisions
            if any(hold.code == "project_closed" for hold in decision.holds)
        }


def test_a_project_that_was_archived_is_closed_after_the_next_hourly_reading(
    runtime: Runtime, sandbox: SandboxServer
) -> None:
    """The PSA announces no change of a project: without the reading, work on a closed one would be billed for good."""
    before = held_as_closed(runtime)
    open_ones = [p for p in sandbox.company.projects if p.closed_on is None and p.contract]
    busiest = max(open_ones, key=lambda p: sum(e.project_id == p.psa_id for e in sandbox.company.entries))
    assert not project(runtime, busiest.code).closed
    with actors_at(sandbox) as people:
        people.archive_project(busiest.psa_id)
    read_master_data(runtime)
    assert project(runtime, busiest.code).closed
    assert sync.mark_touched(runtime) > 0, "the work on it is due to be planned again"
    now_held = held_as_closed(runtime) - before
    assert now_held
