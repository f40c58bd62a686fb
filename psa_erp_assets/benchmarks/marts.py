"""The marts measured: against a plain script, after one month's change, and what the reports ask of them.

| name | what it is |
|---|---|
| marts_10m_ratio_to_duckdb | seconds to build and test all models ÷ those of a plain DuckDB script (`mart_script`) |
| marts_10m_peak_mb | the greatest resident memory of the process that builds, without PostgreSQL |
| marts_month_rebuild_share | building again after a month's rows were written anew, with other minutes ÷ all |
| report_query_p95_ms | the slowest of the console's report queries, at its 95th percentile, on the published file |

Every part runs in an interpreter of its own with 1 GB for DuckDB, whose start is not counted. What the script
computes is held against the marts: rows, and sums of all columns of numbers.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from psa_erp_assets.adapters.lake import Lake
from psa_erp_assets.adapters.postgres import ServerInfo, drop_database, ensure_database
from psa_erp_assets.benchmarks import mart_process, mart_script
from psa_erp_assets.benchmarks.mart_store import MONTHS, change_month, make_store
from psa_erp_assets.benchmarks.result import Result
from psa_erp_assets.services import reporting

DATABASE = "psa_erp_bench_marts"
ENTRIES = 10_000_000


class MartsDifferError(AssertionError):
    """The plain script comes to something else than the models in the lake; one of them is wrong."""


class MartProcessFailedError(RuntimeError):
    """A measured process ended with an error; its last words are the message."""


def measure_marts(server: ServerInfo, entries: int, folder: Path, months: int = MONTHS) -> list[Result]:
    """All measurements of the marts, in a lake of their own that is gone afterwards.

    The names say ten millions whatever `entries` is; `marts_entries` says how many there were. Raises
    MartsDifferError, and MartProcessFailedError.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    models = list(reporting.models().values())
    drop_database(server, DATABASE)
    ensure_database(server, DATABASE)
    url, data, script = server.url(DATABASE), folder / "lake", folder / "script.duckdb"
    published = folder / "reporting.duckdb"
    try:
        with Lake(url, data, memory_limit=mart_process.MEMORY) as lake:
            make_store(lake, entries, months)
            mart_script.list_files(lake, folder / "files")
        plain = _measured("script", data=folder / "files", out=script)
        full = _measured("build", url=url, data=data)
        with Lake(url, data, memory_limit=mart_process.MEMORY) as lake:
            compare(mart_script.totals_of_script(models, script), mart_script.totals_of_lake(models, lake))
            script.unlink()
            change_month(lake, entries, months)
        again = _measured("build", url=url, data=data)
        publishing = _measured("publish", url=url, data=data, out=published)
        asked = _measured("ask", data=data, out=published)
    finally:
        drop_database(server, DATABASE)
        shutil.rmtree(folder, ignore_errors=True)
    slowest, p95 = max(asked["p95_ms"].items(), key=lambda found: found[1])
    return [
        Result(name="marts_entries", value=entries, unit="entries", limit=None),
        Result(name="marts_10m_s", value=full["seconds"], unit="s", limit=None),
        Result(
            name="marts_10m_ratio_to_duckdb",
            value=full["seconds"] / plain["seconds"],
            unit="×",
            limit=2.0,
            floor=plain["seconds"],
            floor_is=f"seconds of a plain DuckDB script, without tests; its peak is {plain['peak_mb']:.0f} MB",
        ),
        Result(name="marts_10m_peak_mb", value=max(full["peak_mb"], again["peak_mb"]), unit="MB", limit=2048.0),
        Result(
            name="marts_month_rebuild_share",
            value=again["seconds"] / full["seconds"],
            unit="",
            limit=0.15,
            floor=again["seconds"],
            floor_is="seconds to build again after a month has changed",
        ),
        Result(name="marts_publish_s", value=publishing["seconds"], unit="s", limit=None),
        Result(
            name="report_query_p95_ms",
            value=p95,
            unit="ms",
            limit=200.0,
            floor=sorted(asked["p95_ms"].values())[len(asked["p95_ms"]) // 2],
            floor_is=f"that of the median query; the slowest of {len(asked['p95_ms'])} is {slowest}",
        ),
    ]


def compare(plain: mart_script.Totals, ours: mart_script.Totals) -> None:
    """Raise MartsDifferError unless every table of the script has as many rows, and sums, in the lake."""
    differing = [name for name in plain if plain[name] != ours[name]]
    if differing:
        name = differing[0]
        raise MartsDifferError(f"{', '.join(differing)}: {ours[name]} in the lake, {plain[name]} by the script")


def _measured(what: str, *, data: Path, url: str = "", out: Path | None = None) -> dict[str, Any]:
    command = [sys.executable, "-m", mart_process.__name__, what, "--data", str(data), "--url", url]
    if out is not None:
        command += ["--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # our own module
    if done.returncode:
        words = done.stderr.strip().splitlines()
        raise MartProcessFailedError(words[-1] if words else "a process said nothing")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
