"""Runs that are executed side by side, in processes of their own, on a real Dagster storage."""

import time
from pathlib import Path

import dagster as dg
import pytest

from psa_erp_assets.adapters.postgres import ServerInfo
from psa_erp_assets.defs.home import prepare_dagster_home
from psa_erp_assets.defs.partitions import PARTITIONS
from psa_erp_assets.defs.runs import Request, RunFailedError, Runs, run_processes

US, UK = "US", "UK"
SECONDS = 0.5


@dg.asset(partitions_def=PARTITIONS)
def slow(context: dg.AssetExecutionContext) -> None:
    """Takes its time, and fails for one month."""
    time.sleep(SECONDS)
    if context.partition_key.endswith("2026-12"):
        raise dg.Failure("no such month")


def make() -> dg.Definitions:
    """What the processes load."""
    job = dg.define_asset_job("slow_job", selection=[slow], executor_def=dg.in_process_executor)
    return dg.Definitions(assets=[slow], jobs=[job])


def request(entity: str, month: str) -> Request:
    """A run of one partition."""
    return Request(job="slow_job", partition=(entity, month))


# Dagster itself names the tags of a key of two dimensions so.
@pytest.mark.filterwarnings("ignore:Non-compliant tag keys:DeprecationWarning")
def test_entities_run_side_by_side_and_the_months_of_one_in_turn(
    tmp_path: Path, postgres_server: ServerInfo, database_name: str
) -> None:
    """Two runs at one ERP company would wait for each other; and a failed one must not pass for done."""
    _, variables = prepare_dagster_home(tmp_path / "dagster", postgres_server.dagster_url(database_name))
    done: list[None] = []
    with run_processes(make) as processes:
        runs = Runs(processes, variables)
        wanted = [request(entity, month) for entity in (US, UK) for month in ("2026-09", "2026-10")]
        runs.run_all(wanted, lambda: done.append(None))
        assert len(done) == len(wanted)
        with pytest.raises(RunFailedError, match="slow_job failed at slow"):
            runs.run_all([request(US, "2026-12"), request(US, "2027-01")])

    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        with dg.DagsterInstance.from_config(variables["DAGSTER_HOME"]) as instance:
            records = {r.dagster_run.tags["dagster/partition"]: r for r in instance.get_run_records()}
    assert records.keys() == {f"{e}|{m}" for e in (US, UK) for m in ("2026-09", "2026-10")} | {"US|2026-12"}
    times = {key: (record.start_time or 0.0, record.end_time or 0.0) for key, record in records.items()}
    for entity in (US, UK):
        assert times[f"{entity}|2026-09"][1] <= times[f"{entity}|2026-10"][0]
    assert times["US|2026-09"][0] < times["UK|2026-09"][1]
    assert times["UK|2026-09"][0] < times["US|2026-09"][1]
