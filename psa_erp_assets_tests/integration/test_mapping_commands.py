"""The commands about mappings and settings: what they print, what they do, and how they fail."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from psa_erp_assets.adapters import postgres
from psa_erp_assets.cli.app import app
from psa_erp_assets.services.runtime import open_prepared
from psa_erp_assets.settings import REPOSITORY, load_settings
from psa_erp_assets_tests.support import mappings
from psa_erp_assets_tests.support.postgres import UNSAFE_BUT_FAST


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def ok(*words: str) -> str:
    result = run(*words)
    assert result.exit_code == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def config() -> Iterator[Path]:
    """The small company with its open joins in a server of its own, since commands use the databases' fixed names."""
    with (
        tempfile.TemporaryDirectory(prefix="psa-erp-test-", ignore_cleanup_errors=True) as folder,
        postgres.running(Path(folder) / "postgres", overrides=UNSAFE_BUT_FAST) as server,
        pytest.MonkeyPatch.context() as monkeypatch,
    ):
        home = Path(folder) / "home"
        shutil.copytree(REPOSITORY / "data" / "config", home / "config")
        monkeypatch.setenv("PSA_ERP_HOME", str(home))
        monkeypatch.setenv("PSA_ERP_CONFIG", str(home / "config"))
        monkeypatch.setenv("PSA_ERP_DATABASE_URL", server.url("postgres"))
        with open_prepared(load_settings()) as runtime:
            mappings.open_store(runtime.engine)
        yield home / "config"


def test_from_a_proposal_to_a_decision_and_its_undoing(config: Path) -> None:
    """Whoever has no browser could not decide, or would decide without seeing what it does."""
    [found] = [p for p in json.loads(ok("mappings", "list", "--json")) if p["source_id"] == "u2"]
    assert found["score"] == "0.9700"
    words = ("mappings", "accept", str(found["id"]), "--from", "2026-09-01", "--reason", "same", "--by", "sam")
    effect = json.loads(ok(*words, "--dry-run", "--json"))
    assert effect["released"] == 2
    assert json.loads(ok("mappings", "list", "--decided", "--json")) == []
    assert "is accepted" in ok(*words)
    assert "already" in run(*words).stderr
    assert run(*words).exit_code == 1
    [made] = json.loads(ok("mappings", "list", "--decided", "--json"))
    assert "is undone" in ok("mappings", "undo", str(made["id"]), "--reason", "no", "--by", "sam")
    assert "accept, undone" in " ".join(ok("mappings", "list", "--decided").split())


def test_what_is_proposed_by_hand_needs_somebody_else(config: Path) -> None:
    """One person could map what they like from the command line."""
    words = ("--type", "project", "--system", "clockify", "--source", "p9", "--canonical", "PRJ-0001", "--by", "sam")
    made = json.loads(ok("mappings", "propose", *words, "--json"))["proposal"]
    assert "somebody else" in run("mappings", "accept", str(made), "--reason", "so", "--by", "sam").stderr
    ok("mappings", "reject", str(made), "--reason", "no", "--by", "kim")


def test_split_and_merge_are_tried_and_done(config: Path) -> None:
    """Their options would not fit together."""
    move = ("mappings", "split", "p1", "--type", "contract", "--system", "clockify", "--to-canonical", "CTR-0002")
    move += ("--from", "2026-09-01", "--reason", "moved", "--by", "sam")
    assert "Amounts" in ok(*move, "--dry-run")
    assert "From 2026-09-01 on p1 stand for CTR-0002" in ok(*move)
    join = ("mappings", "merge", "CUS-0002", "--type", "customer", "--into", "CUS-0001", "--reason", "one")
    assert "stand for CUS-0001" in ok(*join)


@pytest.mark.parametrize("what", ["conflicts", "orphans", "drift"])
def test_the_lists_are_printed(config: Path, what: str) -> None:
    """A list that cannot be printed is not looked at."""
    ok("mappings", what)
    assert isinstance(json.loads(ok("mappings", what, "--json")), list)


def test_changes_of_the_settings_are_listed_and_mistakes_named(config: Path) -> None:
    """Nobody would know what has changed since last month, or where the mistake is."""
    path = config / "policies.yaml"
    before = path.read_text(encoding="utf-8")
    path.write_text(before.replace("overlap_hours: 48", "overlap_hours: 24"), encoding="utf-8")
    [latest, *_] = json.loads(ok("config", "changes", "--json"))
    assert [(c["key"], c["before"], c["after"]) for c in latest["changes"]] == [
        ("extraction.overlap_hours", "48", "24")
    ]
    path.write_text(before.replace("batch_size: 200", "batch_size: 0"), encoding="utf-8")
    refused = run("config", "check", "--json")
    assert refused.exit_code == 1
    [problem] = json.loads(refused.stdout)["problems"]
    assert "policies.yaml:" in problem
    path.write_text(before, encoding="utf-8")
    (config / "ownerships.yaml").write_text("{}", encoding="utf-8")
    assert "nothing reads this file" in run("config", "check").stderr
    (config / "ownerships.yaml").unlink()
    ok("config", "check")
