"""Runs of the jobs in this process, recorded where Dagster's UI shows them: what the demo does instead of waiting."""

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import dagster as dg

from psa_erp_assets.defs.assets.posting import contracts_tag
from psa_erp_assets.defs.partitions import ENTITY, Partition, key_of
from psa_erp_assets.settings import OperatorError

# The event log has it all; the terminal is the caller's.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class RunFailedError(OperatorError):
    """A run failed; its id says where to look."""


class Runs:
    """Executes jobs on an instance."""

    def __init__(self, defs: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self._defs, self._instance = defs, instance

    def run(
        self, job: str, partition: Partition | None = None, contracts: Collection[str | None] | None = None
    ) -> None:
        """One run, of a partition if the job has partitions, limited to some of its contracts or not.

        Raises RunFailedError.
        """
        if partition is not None:
            self._instance.add_dynamic_partitions(ENTITY, [partition[0]])
        result = self._defs.resolve_job_def(job).execute_in_process(
            run_config=_QUIET,
            tags=None if contracts is None else contracts_tag(contracts),
            instance=self._instance,
            partition_key=None if partition is None else key_of(partition),
            raise_on_error=False,
        )
        if not result.success:
            failed = ", ".join(e.step_key or "?" for e in result.all_events if e.is_step_failure)
            raise RunFailedError(f"run {result.run_id} of {job} failed at {failed}; `make up` shows it")


@contextmanager
def recorded_runs(defs: dg.Definitions, variables: Mapping[str, str]) -> Iterator[Runs]:
    """Runs on the instance of `variables`, as `prepare_dagster_home` gave them."""
    # dagster.yaml names its database by an environment variable, so that no file holds the password.
    os.environ.update(variables)
    with dg.DagsterInstance.from_config(variables["DAGSTER_HOME"]) as instance:
        yield Runs(defs, instance)
