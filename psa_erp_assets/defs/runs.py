"""Runs of the jobs, recorded where Dagster's UI shows them: what the demo does instead of waiting for the daemon.

They are executed in two processes that live as long as the demo, because starting one takes seconds. Processes and
not threads: Dagster sets up its logging for a run with a lock that runs in two threads wait for in turn.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass

import dagster as dg

from psa_erp_assets.defs.assets.posting import contracts_tag
from psa_erp_assets.defs.partitions import ENTITY, Partition, key_of
from psa_erp_assets.settings import OperatorError

MakeDefinitions = Callable[[], dg.Definitions]
"""Called in each process, at its first run; it is pickled, so it is a function of a module or a partial of one."""

_PROCESSES = 2
_STATEMENT_MS, _RECYCLE_SECONDS, _MORE_CONNECTIONS = 60_000, 3_600, 2
# The event log has it all; the terminal is the caller's.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class RunFailedError(OperatorError):
    """A run failed; its id says where to look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A run of a job, of a partition if the job has partitions, limited to some of its contracts or not."""

    job: str
    partition: Partition | None = None
    contracts: Collection[str | None] | None = None


class Runs:
    """Executes jobs on the instance of `variables`, as `prepare_dagster_home` gave them."""

    def __init__(self, pool: ProcessPoolExecutor, variables: Mapping[str, str]) -> None:
        self._pool, self._variables = pool, dict(variables)

    def run(self, request: Request) -> tuple[str, ...]:
        """One run; the checks that failed in it, as of `run_all`. Raises RunFailedError."""
        return self.run_all([request])

    def run_all(self, requests: Sequence[Request], advance: Callable[[], None] = lambda: None) -> tuple[str, ...]:
        """Runs side by side, those of one legal entity one after the other; `advance` is called after each.

        Answers with the names of the checks that failed, those that only warn left out. Raises RunFailedError of the
        first run that fails, when those that were begun have ended.
        """
        lines = _lines(requests)
        failed: set[str] = set()
        running: dict[Future[tuple[str, ...]], Iterator[Request]] = {}
        for line in lines:
            running[self._begin(next(line))] = line
        try:
            while running:
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    line = running.pop(future)
                    failed.update(future.result())
                    advance()
                    following = next(line, None)
                    if following is not None:
                        running[self._begin(following)] = line
        finally:
            for future in running:
                future.cancel()
            wait(running)
        return tuple(sorted(failed))

    def _begin(self, request: Request) -> Future[tuple[str, ...]]:
        return self._pool.submit(_execute, request, self._variables)


@contextmanager
def run_processes(make: MakeDefinitions) -> Iterator[ProcessPoolExecutor]:
    """Processes for `Runs`, which load their definitions in the background while the caller does something else."""
    with ProcessPoolExecutor(_PROCESSES, multiprocessing.get_context("spawn"), _begin, (make,)) as pool:
        for _ in range(_PROCESSES):
            pool.submit(_load)
        yield pool


def _lines(requests: Sequence[Request]) -> list[Iterator[Request]]:
    """The requests in lines that may advance side by side: two runs at one ERP company would wait for each other."""
    by_entity: dict[object, list[Request]] = {}
    for number, request in enumerate(requests):
        by_entity.setdefault(number if request.partition is None else request.partition[0], []).append(request)
    return [iter(line) for line in sorted(by_entity.values(), key=len, reverse=True)]


class _Process:
    """What a process of the pool keeps from one run to the next."""

    make: MakeDefinitions
    defs: dg.Definitions | None = None
    instance: dg.DagsterInstance | None = None


def _begin(make: MakeDefinitions) -> None:
    _Process.make = make
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent would leave its processes waiting for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _load() -> dg.Definitions:
    if _Process.defs is None:
        _Process.defs = _Process.make()
    return _Process.defs


def _instance(variables: Mapping[str, str]) -> dg.DagsterInstance:
    if _Process.instance is None:
        # dagster.yaml names its database by an environment variable, so that no file holds the password.
        os.environ.update(variables)
        _Process.instance = dg.DagsterInstance.from_config(variables["DAGSTER_HOME"])
        # Keeps a connection for each storage, instead of making one for each of a run's hundreds of events.
        _Process.instance.optimize_for_webserver(
            statement_timeout=_STATEMENT_MS, pool_recycle=_RECYCLE_SECONDS, max_overflow=_MORE_CONNECTIONS
        )
    return _Process.instance


def _execute(request: Request, variables: Mapping[str, str]) -> tuple[str, ...]:
    defs, instance = _load(), _instance(variables)
    partition = request.partition
    if partition is not None:
        instance.add_dynamic_partitions(ENTITY, [partition[0]])
    result = defs.resolve_job_def(request.job).execute_in_process(
        run_config=_QUIET,
        tags=None if request.contracts is None else contracts_tag(request.contracts),
        instance=instance,
        partition_key=None if partition is None else key_of(partition),
        raise_on_error=False,
    )
    if not result.success:
        failed = ", ".join(e.step_key or "?" for e in result.all_events if e.is_step_failure)
        raise RunFailedError(f"run {result.run_id} of {request.job} failed at {failed}; `make up` shows it")
    evaluations = result.get_asset_check_evaluations()
    return tuple(e.check_name for e in evaluations if not e.passed and e.severity is dg.AssetCheckSeverity.ERROR)
