"""What the overview reads of Dagster's schedules, against its own schema and against answers over HTTP."""

import datetime as dt

import pytest
from dagster_graphql.schema import create_schema
from graphql import parse, validate

from psa_erp_assets.adapters import dagster_api
from psa_erp_assets.adapters.dagster_api import DagsterUnreachableError
from psa_erp_assets_tests.support.scripted_server import Reply, as_json, scripted_server


def schedule(name: str, *ticks: dict[str, object], status: str = "RUNNING") -> dict[str, object]:
    return {"name": name, "scheduleState": {"status": status, "ticks": list(ticks)}}


def answer(*schedules: dict[str, object]) -> Reply:
    node = {"name": "__repository__", "location": {"name": "psa_erp"}, "schedules": list(schedules)}
    return as_json({"data": {"repositoriesOrError": {"__typename": "RepositoryConnection", "nodes": [node]}}})


def test_the_installed_dagster_understands_the_question() -> None:
    """An update of Dagster renames a field, and the overview says for ever that Dagster gives no answer."""
    assert validate(create_schema().graphql_schema, parse(dagster_api._QUERY)) == []


def test_a_run_that_failed_is_the_one_that_is_shown() -> None:
    """Of fifty runs of a tick one fails, and the link leads to one that went well."""
    runs = [{"id": "a", "status": "SUCCESS"}, {"id": "b", "status": "FAILURE"}, {"id": "c", "status": "SUCCESS"}]
    tick = {"timestamp": 1_790_000_000.0, "status": "SUCCESS", "runs": runs}
    never = schedule("monthly", status="STOPPED")
    with scripted_server(lambda _: answer(schedule("hourly", tick), never)) as server:
        hourly, monthly = dagster_api.schedules(server.url)
        assert (hourly.outcome, hourly.runs, hourly.run_url) == ("failure", 3, f"{server.url}/runs/b")
        assert hourly.schedule_url == f"{server.url}/locations/psa_erp/schedules/hourly"
    assert hourly.at == dt.datetime.fromtimestamp(1_790_000_000, dt.UTC)
    assert (monthly.running, monthly.at, monthly.outcome, monthly.run_url) == (False, None, None, None)


def test_a_tick_without_runs_has_its_own_outcome() -> None:
    """A tick that had nothing to do would look as if it had never been."""
    tick = {"timestamp": 1_790_000_000.0, "status": "SKIPPED", "runs": []}
    with scripted_server(lambda _: answer(schedule("hourly", tick))) as server:
        assert dagster_api.schedules(server.url)[0].outcome == "skipped"


@pytest.mark.parametrize("reply", [Reply(status=500), as_json({"errors": []}), as_json([]), Reply(body=b"<html>")])
def test_no_usable_answer_is_told_as_such(reply: Reply) -> None:
    """The console's first page would fail with Dagster."""
    with scripted_server(lambda _: reply) as server, pytest.raises(DagsterUnreachableError):
        dagster_api.schedules(server.url)


def test_a_dagster_that_is_down_is_told_as_such() -> None:
    """The same while it is being restarted."""
    with pytest.raises(DagsterUnreachableError):
        dagster_api.schedules("http://127.0.0.1:1")
