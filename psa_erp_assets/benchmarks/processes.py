"""Planning all partitions in fresh processes, as many as there are cores to plan with."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from psa_erp_assets.benchmarks import planner

# Two processes with two partitions each.
_SHARES = (("US", "UK"), ("DE", "AU"))


class PlannerFailedError(RuntimeError):
    """A planning process ended with an error; its last words are the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """How planning went. `wall_seconds` has the start of the interpreters in it, `planning_seconds` has not.

    `planning_seconds` is that of the process that took longest, `work_seconds` the sum over both. `peak_mb` is the sum
    of the two greatest resident sizes, which PostgreSQL has no part in.
    """

    wall_seconds: float
    planning_seconds: float
    work_seconds: float
    peak_mb: float


def plan_all(url: str) -> Planned:
    """Plan the four partitions of the database in two fresh processes at once. Raises PlannerFailedError."""
    begun = time.perf_counter()
    processes = [_start(url, entities) for entities in _SHARES]
    try:
        said = [process.communicate() for process in processes]
    finally:
        for process in processes:
            process.kill()
    wall = time.perf_counter() - begun
    for process, (_, error) in zip(processes, said, strict=True):
        if process.returncode:
            raise PlannerFailedError(error.strip().splitlines()[-1] if error.strip() else "a planner said nothing")
    found = [json.loads(out) for out, _ in said]
    seconds = [sum(plan["seconds"] for plan in one["plans"]) for one in found]
    return Planned(
        wall_seconds=wall,
        planning_seconds=max(seconds),
        work_seconds=sum(seconds),
        peak_mb=sum(one["peak_mb"] for one in found),
    )


def _start(url: str, entities: Sequence[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", planner.__name__, "--url", url, *entities]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # noqa: S603  # our own module
