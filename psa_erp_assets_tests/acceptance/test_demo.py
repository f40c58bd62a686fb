"""The demo as its user runs it: the installed command, from nothing, with real servers at free ports."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from psa_erp_assets.sandbox.world import TEMPLATES
from psa_erp_assets.settings import REPOSITORY

pytestmark = [pytest.mark.tryton, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("demo")
    yield folder / "home"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def environ(home: Path) -> dict[str, str]:
    config = home.parent / "config"
    shutil.copytree(REPOSITORY / "data" / "config", config)
    psa, erp, console, dagster = _free_ports(4)
    connections = config / "connections.yaml"
    text = connections.read_text().replace(":8091", f":{psa}").replace(":8070", f":{erp}")
    connections.write_text(text)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PSA_ERP_", "DAGSTER_"))}
    return clean | {
        "PSA_ERP_HOME": str(home),
        "PSA_ERP_CONFIG": str(config),
        # A Tryton that another test has built is not built again.
        TEMPLATES: os.environ.get(TEMPLATES) or str(REPOSITORY / "data" / "tryton" / "templates"),
        "PSA_ERP_CONSOLE_URL": f"http://127.0.0.1:{console}",
        "PSA_ERP_DAGSTER_URL": f"http://127.0.0.1:{dagster}",
    }


@pytest.fixture(scope="module")
def summary(home: Path, environ: dict[str, str]) -> dict[str, object]:
    done = _psa_erp(environ, "demo", "--json")
    assert done.returncode == 0, done.stderr[-4000:]
    written: dict[str, object] = json.loads((home / "demo" / "summary.json").read_text())
    assert json.loads(done.stdout) == written
    return written


def test_every_approved_minute_is_in_one_place(summary: dict[str, int]) -> None:
    """A minute that is in no bucket was lost; one that is in two would be billed twice."""
    parts = ("billed", "non_billable", "held", "pending")
    assert sum(summary[f"{part}_minutes"] for part in parts) == summary["approved_minutes"]
    assert summary["billed_minutes"] > 300_000
    assert summary["held_minutes"] > 0
    assert summary["pending_minutes"] == 0


def test_the_erp_holds_nothing_twice_and_nothing_strange(summary: dict[str, int]) -> None:
    """Read from the ERP: a duplicate or an unexplained difference is a wrong invoice at month-end."""
    assert summary["duplicates"] == 0
    assert summary["unexplained_differences"] == 0
    assert summary["erp_documents_read_back"] > 5_000


def test_a_second_sync_posts_nothing(summary: dict[str, int]) -> None:
    """Running a period again must not bill it again (odoo#250946)."""
    assert summary["postings_of_a_second_sync"] == 0


def test_the_dirt_is_in_the_exception_queue(summary: dict[str, dict[str, int]]) -> None:
    """Each kind of bad input that the demo company has must be somebody's open item."""
    expected = {"unknown_project", "project_not_in_erp", "no_cost_rate", "unknown_employee", "no_fx_rate"}
    assert expected | {"project_closed"} <= summary["open_exceptions_by_code"].keys()


def test_the_reporting_store_says_what_the_erp_says(home: Path, summary: dict[str, list[dict[str, str]]]) -> None:
    """An analyst's total by entity, month and currency must be that of the ERP, to the cent."""
    with duckdb.connect(str(home / "reporting.duckdb"), read_only=True) as reporting:
        rows = reporting.execute(
            "SELECT legal_entity, service_month, currency, sum(net_amount) FROM stg_billing_lines"
            " GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    published = {(entity, month, currency): Decimal(amount) for entity, month, currency, amount in rows}
    erp = {(a["legal_entity"], a["service_month"], a["currency"]): Decimal(a["billed"]) for a in summary["amounts"]}
    assert published == erp


def test_commands_go_on_where_the_demo_ended(environ: dict[str, str], summary: dict[str, object]) -> None:
    """After the demo its user looks around: without the ERP, status and exceptions must still answer."""
    status = _psa_erp(environ, "status", "--json")
    assert status.returncode == 0, status.stderr
    assert json.loads(status.stdout)["deliveries_pending"] == 0
    exceptions = _psa_erp(environ, "exceptions", "--json")
    by_code = {group["code"]: group["items"] for group in json.loads(exceptions.stdout)["groups"]}
    assert by_code == summary["open_exceptions_by_code"]
    entry = json.loads(exceptions.stdout)["items"][0]["object_id"]
    trace = _psa_erp(environ, "trace", entry)
    assert trace.returncode == 0
    assert "Timeline" in trace.stdout
    plan = _psa_erp(environ, "apply", "--entity", "NOWHERE")
    assert plan.returncode == 1
    assert "US, UK, DE" in plan.stderr


def _psa_erp(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("psa-erp")), *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=800)


def _free_ports(count: int) -> list[int]:
    """Free at this moment; held together, so that they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports
