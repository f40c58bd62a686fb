"""The benchmarks of planner and marts at a small size: what is compared, and all that they name is measured.

No time is asserted: the machine that runs the tests is shared.
"""

import math
from collections import Counter
from pathlib import Path

import psycopg
import pytest

from psa_erp_assets.adapters.postgres import ServerInfo, drop_database
from psa_erp_assets.benchmarks import peer_check
from psa_erp_assets.benchmarks.facts import make_facts
from psa_erp_assets.benchmarks.marts import MartsDifferError, compare, measure_marts
from psa_erp_assets.benchmarks.peer import plan_with_pandas
from psa_erp_assets.benchmarks.planning import measure_planning
from psa_erp_assets.benchmarks.processes import plan_all
from psa_erp_assets.benchmarks.seeding import seed_database
from psa_erp_assets.benchmarks.world import make_world
from psa_erp_assets.domain.records import Expense, Milestone, TimeEntry

_ENTRIES = 2_000
_DATABASE = "bench_test"
_NAMES = {
    "plan_1m_ratio_to_floor",
    "plan_1m_peak_mb",
    "plan_growth_10x",
    "plan_unchanged_share",
    "plan_one_change_s",
    "plan_times_faster_than_pandas",
}
_MART_NAMES = {
    "marts_10m_ratio_to_duckdb",
    "marts_10m_peak_mb",
    "marts_month_rebuild_share",
    "report_query_p95_ms",
}


def test_every_measurement_has_a_number_and_the_peer_agrees_to_the_cent(
    postgres_server: ServerInfo, tmp_path: Path
) -> None:
    """`measure_planning` raises PeerDiffersError where engine and peer come to other amounts about anything."""
    results = {r.name: r for r in measure_planning(postgres_server, _ENTRIES, tmp_path)}

    assert results.keys() >= _NAMES
    assert all(math.isfinite(r.value) and r.value > 0 for r in results.values())
    assert all(results[name].limit is not None for name in _NAMES)
    assert results["plan_entries"].value == _ENTRIES


def test_the_peer_is_no_copy_of_the_answer_and_is_heard_when_it_differs(postgres_server: ServerInfo) -> None:
    """A cent in one stored plan item is found; otherwise agreement would say nothing. All rules take part."""
    world = make_world()
    try:
        seed_database(postgres_server, _DATABASE, _ENTRIES, world)
        plan_all(postgres_server.url(_DATABASE))
        conninfo = postgres_server.conninfo(_DATABASE)
        peer = plan_with_pandas(conninfo, world.scope)
        outcomes = Counter(out.outcome for out in peer.outcomes.values())
        kinds = Counter(name for out in peer.outcomes.values() for name in out.effects)
        own = Counter(i.split(":")[2] for i in peer.outcomes if i.startswith("contract:"))
        with psycopg.connect(conninfo) as connection:
            connection.execute("ALTER TABLE ops.plan_item DISABLE TRIGGER USER")
            connection.execute(
                "UPDATE ops.plan_item SET amount = amount + 0.01 WHERE action = 'create' AND object_id ="
                " (SELECT min(object_id) FROM ops.plan_item WHERE action = 'create')"
            )
        with pytest.raises(peer_check.PeerDiffersError, match="1 of"):
            peer_check.compare(postgres_server, _DATABASE, world)
    finally:
        drop_database(postgres_server, _DATABASE)

    assert outcomes.keys() == {"post", "covered", "written_off", "non_billable", "hold"}
    assert kinds.keys() == {"billing_line", "cost_transaction", "intercompany_charge", "revenue_entry"}
    assert own.keys() == {"retainer", "instalment", "revenue", "loss"}


def test_the_month_is_the_same_each_time_and_has_the_mix_that_it_promises() -> None:
    """Two runs must measure the same work; a mix that drifts would measure something else."""
    world = make_world()
    facts = list(make_facts(world, 5_000, payload_id=1))

    assert facts == list(make_facts(make_world(), 5_000, payload_id=1))
    kinds = Counter(type(fact) for fact in facts)
    assert kinds.keys() == {TimeEntry, Expense, Milestone}
    assert 0.015 < kinds[Expense] / len(facts) < 0.025
    assert len({fact.id for fact in facts}) == len(facts)
    assert len(world.master.contracts) >= 210
    assert len(world.master.employees) == 400
    assert {e.code for e in world.master.legal_entities} == {"US", "UK", "DE", "AU"}


def test_the_marts_are_measured_and_are_what_a_plain_script_computes(
    postgres_server: ServerInfo, tmp_path: Path
) -> None:
    """`measure_marts` raises MartsDifferError where the script comes to other rows or sums in any table."""
    results = {r.name: r for r in measure_marts(postgres_server, _ENTRIES, tmp_path / "marts", months=3)}

    assert results.keys() >= _MART_NAMES
    assert all(math.isfinite(r.value) and r.value > 0 for r in results.values())
    assert all(results[name].limit is not None for name in _MART_NAMES)
    assert results["marts_entries"].value == _ENTRIES
    with pytest.raises(MartsDifferError, match="fct_cost"):
        compare({"fct_cost": (2, {"amount": 1})}, {"fct_cost": (2, {"amount": 2})})
