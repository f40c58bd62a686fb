"""What Dagster says of its schedules, over the GraphQL API of its web server.

Documentation: "GraphQL API", https://docs.dagster.io/api/graphql.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

_TIMEOUT = httpx.Timeout(1.5)
_QUERY = """
query Schedules {
  repositoriesOrError {
    __typename
    ... on RepositoryConnection {
      nodes {
        name
        location { name }
        schedules {
          name
          scheduleState { status ticks(limit: 1) { timestamp status runs { id status } } }
        }
      }
    }
  }
}
"""


class DagsterUnreachableError(Exception):
    """Dagster gave no usable answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleTick:
    """A schedule with its last tick. `outcome` is what became of it: that of its runs, or of the tick itself.

    `at` is None before the first tick. `schedule_url` and `run_url` are Dagster's own pages; the latter is that of a
    run that failed, if one did, else of the last one.
    """

    name: str
    running: bool
    at: dt.datetime | None
    outcome: str | None
    runs: int
    schedule_url: str
    run_url: str | None


def schedules(url: str) -> tuple[ScheduleTick, ...]:
    """All schedules, by name. Raises DagsterUnreachableError."""
    try:
        answer = httpx.post(f"{url}/graphql", json={"query": _QUERY}, timeout=_TIMEOUT)
        answer.raise_for_status()
        nodes = answer.json()["data"]["repositoriesOrError"]["nodes"]
        found = [tick for node in nodes for tick in _ticks(url, node)]
    except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
        raise DagsterUnreachableError(f"Dagster gave no usable answer: {type(error).__name__}") from error
    return tuple(sorted(found, key=lambda tick: tick.name))


def _ticks(url: str, node: Any) -> Iterator[ScheduleTick]:
    location, repository = node["location"]["name"], node["name"]
    # Dagster leaves out the name that a repository has by itself.
    place = location if repository.startswith("__") else f"{repository}@{location}"
    for schedule in node["schedules"]:
        state = schedule["scheduleState"]
        last = state["ticks"][0] if state["ticks"] else None
        runs = last["runs"] if last else []
        failed = [run for run in runs if run["status"] in ("FAILURE", "CANCELED")]
        shown = (failed or runs)[-1:]
        outcome = None
        if last is not None:
            outcome = str(shown[0]["status"] if shown else last["status"]).lower()
        yield ScheduleTick(
            name=schedule["name"],
            running=state["status"] == "RUNNING",
            at=dt.datetime.fromtimestamp(last["timestamp"], dt.UTC) if last else None,
            outcome=outcome,
            runs=len(runs),
            schedule_url=f"{url}/locations/{quote(place)}/schedules/{quote(schedule['name'])}",
            run_url=f"{url}/runs/{quote(shown[0]['id'])}" if shown else None,
        )
