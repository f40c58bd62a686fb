"""The planner measured: against the machine's floor, against more and less work, against nothing new, against pandas.

| name | what it is |
|---|---|
| plan_1m_ratio_to_floor | wall time from stored facts to stored plans of all four partitions ÷ the floor (`floor`) |
| plan_1m_peak_mb | the greatest resident memory of the two planning processes, summed, without PostgreSQL |
| plan_growth_10x | planning seconds for all facts ÷ those for a tenth of them, with the same contracts |
| plan_unchanged_share | planning again when nothing has changed ÷ the first time |
| plan_one_change_s | planning what one changed entry touches; the median over contracts of different kinds |
| plan_times_faster_than_pandas | seconds of the peer (`peer`) ÷ planning seconds, for up to 100,000 facts |
| plan_process_seconds_to_pandas | the same, both processes' planning seconds added up, as if there were one core |

Two processes plan two partitions each, in interpreters of their own as Dagster's runs have. The wall time has their
start in it; growth and shares are by planning seconds alone, to which the start would be a constant.
"""

import statistics
from pathlib import Path

from psa_erp_assets.adapters.postgres import ServerInfo, drop_database
from psa_erp_assets.adapters.store.engine import make_engine
from psa_erp_assets.benchmarks.floor import Floor, measure_floor
from psa_erp_assets.benchmarks.one_change import Change, one_change_each
from psa_erp_assets.benchmarks.peer_check import compare
from psa_erp_assets.benchmarks.processes import Planned, plan_all
from psa_erp_assets.benchmarks.result import Result
from psa_erp_assets.benchmarks.seeding import seed_database
from psa_erp_assets.benchmarks.world import make_world

DATABASE = "psa_erp_bench"
ENTRIES = 1_000_000
_TENTH = 10
# The peer takes minutes for more; the whole is compared with it up to here, a tenth of it beyond.
_PEER_MOST = 100_000


def measure_planning(server: ServerInfo, entries: int, folder: Path) -> list[Result]:
    """All measurements of the planner, in a database of their own that is gone afterwards.

    The names say a million whatever `entries` is; `plan_entries` says how many there were. Raises
    PlannerFailedError, and PeerDiffersError where the peer comes to another result.
    """
    world, url = make_world(), server.url(DATABASE)
    try:
        seed_database(server, DATABASE, entries, world)
        first = plan_all(url)
        peer = compare(server, DATABASE, world) if entries <= _PEER_MOST else None
        again = plan_all(url)
        engine = make_engine(url)
        try:
            changes = one_change_each(engine, world)
        finally:
            engine.dispose()
        floor = measure_floor(server.conninfo(DATABASE), world, folder)
        seed_database(server, DATABASE, entries // _TENTH, world)
        tenth = plan_all(url)
        if peer is None:
            against, peer_entries, peer = tenth, entries // _TENTH, compare(server, DATABASE, world)
        else:
            against, peer_entries = first, entries
    finally:
        drop_database(server, DATABASE)
    return [
        *_of_all(entries, first, floor),
        Result(
            name="plan_growth_10x",
            value=first.planning_seconds / tenth.planning_seconds,
            unit="×",
            limit=11.0,
            floor=tenth.planning_seconds,
            floor_is="planning seconds for a tenth",
        ),
        Result(
            name="plan_unchanged_share",
            value=again.planning_seconds / first.planning_seconds,
            unit="",
            limit=0.05,
            floor=again.planning_seconds,
            floor_is="planning seconds when nothing has changed",
        ),
        *_of_changes(changes),
        Result(
            name="plan_times_faster_than_pandas",
            value=peer / against.planning_seconds,
            unit="×",
            limit=1.0,
            floor=peer,
            floor_is=f"pandas' seconds for {peer_entries} facts, which ours plans in {against.planning_seconds:.1f} s",
        ),
        Result(name="plan_process_seconds_to_pandas", value=peer / against.work_seconds, unit="×", limit=None),
    ]


def _of_all(entries: int, first: Planned, floor: Floor) -> list[Result]:
    return [
        Result(name="plan_entries", value=entries, unit="facts", limit=None),
        Result(name="plan_1m_s", value=first.wall_seconds, unit="s", limit=None),
        Result(
            name="plan_1m_ratio_to_floor",
            value=first.wall_seconds / floor.seconds,
            unit="×",
            limit=3.0,
            floor=floor.seconds,
            floor_is="seconds to copy in, query and copy out the same",
        ),
        Result(name="plan_floor_copy_in_s", value=floor.copy_in, unit="s", limit=None),
        Result(name="plan_floor_query_s", value=floor.query, unit="s", limit=None),
        Result(name="plan_floor_copy_out_s", value=floor.copy_out, unit="s", limit=None),
        Result(name="plan_floor_effects", value=floor.effects, unit="rows", limit=None),
        Result(name="plan_floor_out_mb", value=floor.megabytes_out, unit="MB", limit=None),
        Result(name="plan_floor_two_connections_s", value=floor.seconds_parallel, unit="s", limit=None),
        Result(name="plan_1m_peak_mb", value=first.peak_mb, unit="MB", limit=2048.0),
    ]


def _of_changes(changes: list[Change]) -> list[Result]:
    worst = max(changes, key=lambda change: change.planning_seconds)
    return [
        Result(
            name="plan_one_change_s",
            value=statistics.median(change.planning_seconds for change in changes),
            unit="s",
            limit=1.0,
            floor=worst.planning_seconds,
            floor_is=f"the worst of {len(changes)}, in a contract of the kind {worst.deal}",
        ),
        Result(
            name="plan_find_change_s",
            value=statistics.median(change.finding_seconds for change in changes),
            unit="s",
            limit=None,
        ),
    ]
