"""The marts in a process of its own, as a reporting run is: `python -m psa_erp_assets.benchmarks.mart_process`.

`build` brings every model up to date and tests it by the function that the assets call, `script` runs the plain script
(`mart_script`), `publish` writes the reporting file, `ask` asks it what the console's reports ask. Prints one JSON
object: seconds without starting the interpreter, processor seconds, the greatest resident memory in megabytes, and
what else there is to say.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from sqlalchemy import Select

from psa_erp_assets.adapters import reporting
from psa_erp_assets.adapters.lake import Lake
from psa_erp_assets.adapters.reporting_file import Reader, ReportingFile
from psa_erp_assets.benchmarks import mart_script
from psa_erp_assets.services import reporting as models
from psa_erp_assets.services.report_filters import Filters
from psa_erp_assets.services.report_queries import QUERIES
from psa_erp_assets.services.report_row_sources import SOURCES
from psa_erp_assets.services.report_rows import page_of, totals_of

# DuckDB's own limit. The process has the interpreter, libraries and what DuckDB does not count besides.
MEMORY = "1GB"
_TIMES = 50
# The console's usual questions: a year of the group, a month of it, and a month of an entity.
_ASKED = (
    Filters(first="2026-01", last="2026-12"),
    Filters(first="2026-10", last="2026-10"),
    Filters(first="2026-10", last="2026-10", entity="DE"),
)


def main() -> None:
    """Do what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["build", "script", "publish", "ask"])
    parser.add_argument("--url", default="", help="of the lake's catalog")
    parser.add_argument(
        "--data", type=Path, required=True, help="the lake's folder, or that which tells of the script's files"
    )
    parser.add_argument("--out", type=Path, help="file to write or to ask")
    asked = parser.parse_args()
    loaded = models.models()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    begun, worked = time.perf_counter(), usage.ru_utime + usage.ru_stime
    more: dict[str, Any] = {}
    if asked.what == "script":
        mart_script.run(list(loaded.values()), asked.data, asked.out, MEMORY)
    elif asked.what == "ask":
        more = _ask(asked.out)
    else:
        with Lake(asked.url, asked.data, memory_limit=MEMORY) as lake:
            if asked.what == "build":
                more = _build(lake)
            else:
                reporting.publish(lake, list(loaded.values()), asked.out)
    seconds = time.perf_counter() - begun
    usage = resource.getrusage(resource.RUSAGE_SELF)
    said = {
        "seconds": round(seconds, 3),
        "processor_seconds": round(usage.ru_utime + usage.ru_stime - worked, 3),
        "peak_mb": round(usage.ru_maxrss / 1024, 1),
        **more,
    }
    sys.stdout.write(json.dumps(said) + "\n")


def _build(lake: Lake) -> dict[str, Any]:
    seconds, failing, made = {}, [], {}
    for name in models.models():
        begun = time.perf_counter()
        built = models.build(lake, name)
        seconds[name] = round(time.perf_counter() - begun, 3)
        failing += [f"{name}.{test.name}" for test in built.tests if not test.passed]
        made[name] = None if built.months is None else sorted(built.months)
    return {"models": seconds, "failing": failing, "months": made}


def _ask(path: Path) -> dict[str, Any]:
    """The 95th percentile of each question in milliseconds."""
    file = ReportingFile(path)
    with file.open() as reader:
        return {"p95_ms": {name: _p95(reader, queries) for name, queries in _questions()}}


def _questions() -> Iterator[tuple[str, Sequence[Select[Any]]]]:
    """Every query of the reports, for each of the usual filters that it takes."""
    for name, query in QUERIES.items():
        yield name, [query(filters) for filters in _ASKED]
    for name, source in SOURCES.items():
        # Rows are reached from a month of a report, and by the dimensions that they have.
        fitting = [filters for filters in _ASKED[1:] if set(filters.chosen()) <= source.mart.dimensions]
        yield f"rows of {name}", [totals_of(source, filters) for filters in fitting]
        yield f"page of {name}", [page_of(source, filters, page=1) for filters in fitting]


def _p95(reader: Reader, queries: Sequence[Select[Any]]) -> float:
    waits = []
    for query in islice(cycle(queries), _TIMES):
        begun = time.perf_counter()
        reader.read(query)
        waits.append((time.perf_counter() - begun) * 1000)
    return round(statistics.quantiles(waits, n=20)[-1], 2)


if __name__ == "__main__":
    main()
