"""Runs of the jobs in this process, recorded where Dagster's UI shows them: what the demo does instead of waiting."""

import multiprocessing
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager

import dagster as dg

from psa_erp_assets.defs.assets.posting import contracts_tag
from psa_erp_assets.defs.partitions import ENTITY, Partition, key_of
from psa_erp_assets.settings import OperatorError

# The event log has it all; the terminal is the caller's.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


# An ERP company is a line of work of its own; more at once than the machine has cores wait for each other.
_AT_ONCE = 2


class RunFailedError(OperatorError):
    """A run failed; its id says where to look."""


Load = Callable[[], dg.Definitions]
"""Makes the definitions; a function of a module, so that another process finds it by its name."""


class Runs:
    """Executes jobs on an instance."""

    def __init__(self, load: Load, variables: Mapping[str, str], instance: dg.DagsterInstance) -> None:
        self._load, self._variables = load, dict(variables)
        self._defs, self._instance = load(), instance

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

    def run_all(self, job: str, partitions: Collection[Partition], on_done: Callable[[int], None]) -> None:
        """A run for each partition, two legal entities at a time; `on_done` is told of how many are done together.

        In processes: Dagster sets up logging for each run, and two threads that do so wait for each other for ever.
        """
        of_entity: dict[str, list[Partition]] = defaultdict(list)
        for partition in partitions:
            of_entity[partition[0]].append(partition)
        with ProcessPoolExecutor(_AT_ONCE, mp_context=multiprocessing.get_context("spawn")) as pool:
            waiting = [pool.submit(_run_each, self._load, self._variables, job, own) for own in of_entity.values()]
            for future in as_completed(waiting):
                on_done(future.result())


@contextmanager
def recorded_runs(load: Load, variables: Mapping[str, str]) -> Iterator[Runs]:
    """Runs on the instance of `variables`, as `prepare_dagster_home` gave them."""
    # dagster.yaml names its database by an environment variable, so that no file holds the password.
    os.environ.update(variables)
    with dg.DagsterInstance.from_config(variables["DAGSTER_HOME"]) as instance:
        yield Runs(load, variables, instance)


def _run_each(load: Load, variables: Mapping[str, str], job: str, partitions: Collection[Partition]) -> int:
    with recorded_runs(load, variables) as runs:
        for partition in partitions:
            runs.run(job, partition)
    return len(partitions)
