"""The commands about plans, credits, closed periods and the rollout: what they print, and how they fail."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from sqlalchemy import Engine
from typer.testing import CliRunner, Result

from psa_erp_assets.adapters import postgres
from psa_erp_assets.adapters.postgres import ServerInfo
from psa_erp_assets.adapters.store import master_records, plans
from psa_erp_assets.adapters.store.engine import make_engine
from psa_erp_assets.cli.app import app
from psa_erp_assets.domain.records import AccountingPeriod
from psa_erp_assets.services import sync
from psa_erp_assets.services.runtime import OPERATIONAL_DATABASE, open_prepared
from psa_erp_assets.settings import REPOSITORY, load_settings
from psa_erp_assets_tests.support.facts import TENANT
from psa_erp_assets_tests.support.postgres import UNSAFE_BUT_FAST
from psa_erp_assets_tests.support.store import NOW, keep_master, psa_payload, receive

RULES = """
- { name: large, effect_type: billing_line, above: { amount: "150.00", currency: GBP } }
"""


@pytest.fixture(scope="module")
def own_server() -> Iterator[ServerInfo]:
    """A server of its own: commands use the databases' fixed names and the shipped tenant."""
    with (
        tempfile.TemporaryDirectory(prefix="psa-erp-test-", ignore_cleanup_errors=True) as folder,
        postgres.running(Path(folder) / "postgres", overrides=UNSAFE_BUT_FAST) as server,
    ):
        yield server


@dataclass
class Terminal:
    """Where somebody types commands."""

    engine: Engine

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(app, list(words))

    def ok(self, *words: str) -> str:
        result = self.run(*words)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    def json(self, *words: str) -> object:
        return json.loads(self.ok(*words, "--json"))

    def fails(self, *words: str) -> str:
        """What is printed where a command fails as it should: the message and what to do, and no result."""
        result = self.run(*words)
        assert (result.exit_code, result.stdout) == (1, "")
        return " ".join(result.stderr.split())


@pytest.fixture
def terminal(own_server: ServerInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """The small company with 183.33 GBP to bill, whose plans above 150 GBP wait; September is closed for its cost."""
    config = tmp_path / "config"
    shutil.copytree(REPOSITORY / "data" / "config", config)
    policies = yaml.safe_load((config / "policies.yaml").read_text(encoding="utf-8"))
    policies |= {"approvals": yaml.safe_load(RULES)}
    (config / "policies.yaml").write_text(yaml.safe_dump(policies), encoding="utf-8")
    monkeypatch.setenv("PSA_ERP_HOME", str(tmp_path))
    monkeypatch.setenv("PSA_ERP_CONFIG", str(config))
    monkeypatch.setenv("PSA_ERP_DATABASE_URL", own_server.url("postgres"))
    # Nothing is sent to it, as nothing is approved.
    monkeypatch.setenv(load_settings().connections.erp.password, "none")
    # Wide enough that no word of a table is broken.
    monkeypatch.setenv("COLUMNS", "400")
    postgres.drop_database(own_server, OPERATIONAL_DATABASE)
    with open_prepared(load_settings()):
        pass
    engine = make_engine(own_server.sqlalchemy_url(OPERATIONAL_DATABASE))
    keep_master(engine)
    receive(engine, psa_payload("e1"), psa_payload("e2", 60))
    periods = [
        AccountingPeriod(id=f"UK@{month}", legal_entity="UK", month=month, closed=month < "2026-10")
        for month in ("2026-09", "2026-10")
    ]
    with engine.begin() as connection:
        master_records.replace_all(
            connection,
            tenant=TENANT,
            object_type="accounting_period",
            source="tryton",
            records=[(period.id, period) for period in periods],
            now=NOW,
        )
    yield Terminal(engine)
    engine.dispose()


def automatic(terminal: Terminal) -> int:
    """A run proposes the month's plan, which waits; answers with its id."""
    with open_prepared(load_settings()) as runtime:
        return sync.plan_and_apply(runtime, ("UK", "2026-09"), created_by="dagster run 1").id


def test_the_plan_is_printed_with_its_id_its_sums_and_what_waits(terminal: Terminal) -> None:
    """Somebody who looks before they apply would see less than what is done."""
    text = terminal.ok("plan", "--entity", "UK", "--month", "2026-09", "--by", "Ada")
    assert "183.33" in text
    assert "period_closed" in text
    assert "must be approved first" in text
    (plan,) = terminal.json("plan", "--entity", "UK", "--month", "2026-09")  # type: ignore[misc]
    assert (plan["legal_entity"], plan["service_month"], plan["status"]) == ("UK", "2026-09", "proposed")
    assert plan["approval_reasons"] == ["large: 183.33 GBP is above 150.00 GBP"]
    assert {(a["action"], a["effect_type"], a["items"]) for a in plan["actions"]} >= {("create", "billing_line", 2)}
    assert [(c["before"], c["after"]) for c in plan["contracts"]] == [("0", "183.33")]
    assert len(plan["items"]) == 6


def test_a_plan_is_shown_approved_and_applied(terminal: Terminal) -> None:
    """What waits could not be got going from the command line, or by one person alone."""
    plan_id = str(automatic(terminal))
    (waiting,) = terminal.json("plan", "list", "--status", "proposed")  # type: ignore[misc]
    assert (str(waiting["id"]), waiting["created_by"]) == (plan_id, "dagster run 1")
    assert "Needs approval: large" in terminal.ok("plan", "show", plan_id)
    refused = terminal.fails("apply", plan_id)
    assert "must be approved first" in refused
    assert "psa-erp plan approve" in refused
    assert "is approved" in terminal.ok("plan", "approve", plan_id, "--by", "Ada", "--note", "as agreed")
    again = terminal.fails("plan", "reject", plan_id, "--by", "Bob", "--note", "no")
    assert "only a proposed plan can be rejected" in again
    shown = terminal.json("plan", "show", plan_id)
    assert (shown["plan"]["reviewed_by"], shown["plan"]["review_note"]) == ("Ada", "as agreed")  # type: ignore[index]
    with terminal.engine.connect() as connection:
        stored = plans.load(connection, TENANT, int(plan_id))
    assert stored is not None
    assert stored.status == "approved"


def test_whoever_makes_a_plan_cannot_approve_it(terminal: Terminal) -> None:
    """Four eyes on paper only."""
    (plan,) = terminal.json("plan", "--entity", "UK", "--month", "2026-09", "--by", "Ada")  # type: ignore[misc]
    message = terminal.fails("plan", "approve", str(plan["id"]), "--by", "ada", "--note", "mine")
    assert "was made by Ada: somebody else must review it" in message
    assert terminal.json("plan", "reject", str(plan["id"]), "--by", "Bob", "--note", "no")["status"] == "rejected"  # type: ignore[index]


def test_an_apply_of_everything_says_what_waits_and_succeeds(terminal: Terminal) -> None:
    """The operator would believe that all is posted; or a nightly apply would fail for a plan that waits."""
    result = terminal.run("apply", "--entity", "UK", "--by", "Ada", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, [])
    assert "was not applied: it is proposed and needs approval (large: 183.33 GBP" in " ".join(result.stderr.split())


def test_a_plan_or_an_entity_that_does_not_exist_fails(terminal: Terminal) -> None:
    """A slip of the hand would look like a month without work."""
    assert "US, UK, DE" in terminal.fails("plan", "--entity", "FR")
    assert "there is no plan 404" in terminal.fails("plan", "show", "404")
    assert "there is no plan 404" in terminal.fails("plan", "approve", "404", "--by", "Ada", "--note", "x")
    assert "there is no plan 404" in terminal.fails("apply", "404")


def test_what_waits_for_a_closed_period_is_listed_and_chosen_for(terminal: Terminal) -> None:
    """The month would be closed and its late cost nowhere, without anybody able to say where it goes."""
    automatic(terminal)
    object_id = "time_entry:clockify:e1"
    text = terminal.ok("periods")
    assert object_id in text
    assert "2026-09 is closed in UK" in text
    assert "post_to_open" in text
    choose = ("periods", "choose", object_id, "--effect", "cost_transaction", "--reason", "late", "--by", "Ada")
    wrong = terminal.fails(*choose, "--choice", "post_to_open", "--date", "2026-09-30")
    assert "2026-09 is closed in the books of UK; open are 2026-10" in wrong
    assert "psa-erp periods" in wrong
    chosen = terminal.json(*choose, "--choice", "post_to_open", "--date", "2026-10-01")
    assert (chosen["amount"], chosen["currency"]) == ("37.50", "GBP")  # type: ignore[index]
    assert "post_to_open 2026-10-01 by Ada" in terminal.ok("periods")
    rows = terminal.json("periods")
    assert {(r["object_id"], r["effect_type"], r["choice"]) for r in rows if r["choice"]} == {  # type: ignore[attr-defined]
        (object_id, "cost_transaction", "post_to_open")
    }


def test_a_credit_that_cannot_be_fails_and_says_why(terminal: Terminal) -> None:
    """A script would go on as if the customer had been credited."""
    ask = ("credit", "e1", "--minutes", "20", "--reason", "wrong week", "--by", "Ada")
    message = terminal.fails(*ask, "--rebill", "--json")
    assert "has no billing line in the ERP" in message
    assert "psa-erp trace" in message
    assert "nothing with the id 'nowhere' has arrived" in terminal.fails("credit", "nowhere", *ask[2:], "--write-off")
    assert terminal.run(*ask).exit_code == 2, "whether it is billed again has no default"


def test_the_rollout_is_a_table_with_what_is_missing(terminal: Terminal, tmp_path: Path) -> None:
    """Nobody would know what is live, or why something is not."""
    assert "It is live." in terminal.ok("rollout")
    path = tmp_path / "config" / "policies.yaml"
    policies = yaml.safe_load(path.read_text(encoding="utf-8"))
    policies["rollout"] = [{"mode": "shadow", "legal_entity": "UK"}]
    path.write_text(yaml.safe_dump(policies), encoding="utf-8")
    found = terminal.json("rollout", "--entity", "UK", "--kind", "time_and_materials")
    (state,) = found["states"]  # type: ignore[index]
    assert (state["mode"], state["ready"]) == ("shadow", False)
    assert "nothing has been billed by hand" in state["sentence"]
    assert "Shadow plan and what was billed by hand" in terminal.ok("rollout", "--entity", "UK")
    assert terminal.json("rollout", "--entity", "UK", "--kind", "capped")["states"] == []  # type: ignore[index]
    assert "US, UK, DE" in terminal.fails("rollout", "--entity", "FR")


@pytest.mark.parametrize(
    "words",
    [
        ("plan",),
        ("plan", "show"),
        ("plan", "list"),
        ("plan", "approve"),
        ("plan", "reject"),
        ("rollout",),
        ("credit",),
        ("periods",),
        ("periods", "choose"),
    ],
)
def test_every_command_explains_itself(words: tuple[str, ...]) -> None:
    """Somebody would have to read the code."""
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0
    assert "--json" in result.stdout
