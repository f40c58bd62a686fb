"""The peer timed, and its result held against the planner's: the same amounts to the cent, object by object."""

import time
from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal

import psycopg

from psa_erp_assets.adapters.postgres import ServerInfo
from psa_erp_assets.benchmarks.peer import plan_with_pandas
from psa_erp_assets.benchmarks.peer_contracts import Outcome
from psa_erp_assets.benchmarks.world import TENANT, World

_Told = tuple[str | None, str, tuple[tuple[str, Decimal, str], ...]]


class PeerDiffersError(AssertionError):
    """Planner and peer do not agree about some object; one of them is wrong."""


def compare(server: ServerInfo, database: str, world: World) -> float:
    """Seconds that the peer takes for the facts of a database whose partitions have all been planned once.

    Raises PeerDiffersError unless contract, outcome, and amount and currency by effect type are the same for every
    object that either knows.
    """
    conninfo = server.conninfo(database)
    begun = time.perf_counter()
    peer = plan_with_pandas(conninfo, world.scope)
    seconds = time.perf_counter() - begun
    ours, theirs = _decided(conninfo), {object_id: _told(out) for object_id, out in peer.outcomes.items()}
    differing = sorted(i for i in ours.keys() | theirs.keys() if ours.get(i) != theirs.get(i))
    if differing:
        first = differing[0]
        raise PeerDiffersError(
            f"{len(differing)} of {len(ours)} objects differ, such as {first}: planned {ours.get(first)}, by the peer"
            f" {theirs.get(first)}"
        )
    return seconds


def _told(out: Outcome) -> _Told:
    effects = sorted((name, effect.amount, effect.currency) for name, effect in out.effects.items())
    return out.contract_id, out.outcome, tuple(effects)


def _decided(conninfo: str) -> Mapping[str, _Told]:
    """Contract and outcome of each object as decided, with the amounts that its plan's items create."""
    with psycopg.connect(conninfo) as connection:
        created: dict[str, list[tuple[str, Decimal, str]]] = defaultdict(list)
        for row in connection.execute(
            "SELECT object_id, effect_type, amount, currency FROM ops.plan_item WHERE action = 'create'"
        ):
            created[row[0]].append((row[1], row[2], row[3]))
        decided = connection.execute(
            "SELECT DISTINCT ON (object_id) object_id, outcome, body ->> 'contract_id' FROM ops.decision"
            " WHERE tenant = %s ORDER BY object_id, id DESC",
            (TENANT,),
        )
        return {row[0]: (row[2], row[1], tuple(sorted(created.get(row[0], ())))) for row in decided}
