"""Planning in a process of its own, as each run of an asset is: `python -m psa_erp_assets.benchmarks.planner`.

Prints one JSON object: seconds of each plan without starting the interpreter, its id and how many items it has, and
the greatest resident memory of the process in megabytes.
"""

import argparse
import json
import resource
import sys
import time

from psa_erp_assets.adapters.store.engine import make_engine
from psa_erp_assets.benchmarks.seeding import PLANNED_AT
from psa_erp_assets.benchmarks.world import MONTH, make_world
from psa_erp_assets.services.planning import make_plan


def main() -> None:
    """Plan the partitions of the legal entities that are named, one after the other."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", required=True, help="of the seeded database")
    parser.add_argument("entities", nargs="+", help="legal entities whose partition is planned")
    asked = parser.parse_args()
    # The scope comes from settings and no database; that of the benchmark is part of its firm.
    scope = make_world().scope
    engine = make_engine(asked.url)
    plans = []
    for entity in asked.entities:
        begun = time.perf_counter()
        plan = make_plan(engine, scope, (entity, str(MONTH)), now=PLANNED_AT, created_by="bench")
        plans.append({"entity": entity, "id": plan.id, "seconds": round(time.perf_counter() - begun, 3)})
    engine.dispose()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({"plans": plans, "peak_mb": round(peak, 1)}) + "\n")


if __name__ == "__main__":
    main()
