"""`psa-erp exceptions` and `psa-erp replay`: what they print, what they do, and how they fail."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from psa_erp_assets.adapters import postgres
from psa_erp_assets.adapters.postgres import ServerInfo
from psa_erp_assets.adapters.store.engine import make_engine
from psa_erp_assets.adapters.store.exceptions import Sighting, open_or_touch
from psa_erp_assets.adapters.store.schema import posting
from psa_erp_assets.services import planning
from psa_erp_assets.services.runtime import OPERATIONAL_DATABASE, open_prepared
from psa_erp_assets.settings import load_settings
from psa_erp_assets_tests.integration.test_review_commands import Terminal, own_server
from psa_erp_assets_tests.support.facts import TENANT, make_master
from psa_erp_assets_tests.support.store import NOW, SCOPE, keep_master, psa_payload, receive

__all__ = ["own_server"]


@pytest.fixture
def terminal(own_server: ServerInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """The small company with an entry that no bill rate holds, and a conflict."""
    monkeypatch.setenv("PSA_ERP_HOME", str(tmp_path))
    monkeypatch.setenv("PSA_ERP_DATABASE_URL", own_server.url("postgres"))
    monkeypatch.setenv("COLUMNS", "400")
    postgres.drop_database(own_server, OPERATIONAL_DATABASE)
    with open_prepared(load_settings()):
        pass
    engine = make_engine(own_server.sqlalchemy_url(OPERATIONAL_DATABASE))
    keep_master(engine, make_master(bill_rates=()))
    receive(engine, psa_payload("e1", 480))
    planning.make_plan(engine, SCOPE, ("UK", "2026-09"), now=NOW, created_by="run")
    conflict = Sighting(
        code="posting_conflict",
        object_id="time_entry:clockify:e7",
        detail="amount 1.00 is not 2.00",
        evidence={"posting": "0" * 32},
        legal_entity="UK",
        service_month="2026-09",
    )
    with engine.begin() as connection:
        open_or_touch(connection, TENANT, "posting:billing_line", [conflict], NOW)
    yield Terminal(engine)
    engine.dispose()


def group_names(terminal: Terminal) -> set[str]:
    body = terminal.json("exceptions")
    assert isinstance(body, dict)
    return {group["name"] for group in body["groups"]}


def test_groups_items_and_files_are_printed(terminal: Terminal) -> None:
    """Whoever works in a terminal must see what is on the page."""
    names = group_names(terminal)
    held = next(name for name in names if name.startswith("no_bill_rate/"))
    assert held in terminal.ok("exceptions")
    assert "time_entry:clockify:e1" in terminal.ok("exceptions", "group", held)
    assert "time_entry:clockify:e7" in terminal.ok("exceptions", "list", "--class", "conflict")
    rows = list(csv.reader(io.StringIO(terminal.ok("exceptions", "export"))))
    assert len(rows) == 1 + len(terminal.json("exceptions", "list"))  # type: ignore[arg-type]  # it is a list


def test_work_is_done_and_told(terminal: Terminal) -> None:
    """A script would not know whether it did anything."""
    (conflict,) = terminal.json("exceptions", "list", "--code", "posting_conflict")  # type: ignore[misc]  # one item
    number = str(conflict["id"])
    assert "Done for 1" in terminal.ok("exceptions", "assign", number, "ada", "--by", "ada")
    assert "Done for 1" in terminal.ok("exceptions", "note", number, "looked at both", "--by", "ada")
    assert "Done for 1" in terminal.ok("exceptions", "prioritize", number, "urgent", "--by", "ada")
    shown = terminal.ok("exceptions", "show", number)
    assert "looked at both" in shown
    assert "urgent" in shown


def test_two_people_resolve_a_conflict(terminal: Terminal) -> None:
    """One alone could make it disappear."""
    (conflict,) = terminal.json("exceptions", "list", "--code", "posting_conflict")  # type: ignore[misc]  # one item
    number = str(conflict["id"])
    assert "waits for somebody else" in terminal.ok("exceptions", "resolve", number, "--why", "ours", "--by", "ada")
    (request,) = terminal.json("exceptions", "requests")  # type: ignore[misc]  # one request
    asked = str(request["id"])
    assert "your own" in terminal.fails("exceptions", "approve", asked, "--why", "ok", "--by", "ada")
    assert "is done" in terminal.ok("exceptions", "approve", asked, "--why", "ok", "--by", "bob")
    assert terminal.json("exceptions", "list", "--code", "posting_conflict") == []


def test_what_cannot_be_done_fails_with_why(terminal: Terminal) -> None:
    """A script would take it for done."""
    assert "no code" in terminal.fails("exceptions", "--code", "no_such")
    assert "no group" in terminal.fails("exceptions", "note", "no_such/x", "y", "--by", "ada")
    assert "no exception" in terminal.fails("exceptions", "show", "99999")
    assert "no request" in terminal.fails("exceptions", "reject", "99999", "--why", "x", "--by", "ada")


def test_a_replay_shows_and_does_nothing_without_a_yes(terminal: Terminal) -> None:
    """The difference is what somebody decides by."""
    keep_master(terminal.engine)
    body = terminal.json("replay", "e1", "--why", "the rate is there", "--by", "ada")
    assert isinstance(body, dict)
    assert body["done"] is None
    assert ("billing_line", "0.00", "800.00") in {
        (c["effect_type"], c["before"], c["after"]) for c in body["replay"]["changes"]
    }


def test_a_replay_that_is_declined_does_nothing(terminal: Terminal) -> None:
    """Somebody who sees the difference and says no must be able to."""
    keep_master(terminal.engine)
    declined = terminal.run("replay", "e1", "--why", "the rate is there", "--by", "ada")
    assert "800.00" in declined.stdout, declined.stderr
    with terminal.engine.connect() as connection:
        assert connection.execute(select(posting.c.key)).all() == []
