"""`psa-erp notify test`: somebody tries whether messages arrive, and is told which do not."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from psa_erp_assets.cli.app import app
from psa_erp_assets.settings import REPOSITORY
from psa_erp_assets_tests.support.webhook_receiver import webhook_receiver

SECRET = "whsec_bmV3LXNlY3JldC1vZi10aGUtdGVzdHM="


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the committed settings, which the command reads."""
    folder = Path(shutil.copytree(REPOSITORY / "data" / "config", tmp_path / "config"))
    monkeypatch.setenv("PSA_ERP_CONFIG", str(folder))
    monkeypatch.setenv("PSA_ERP_HOME", str(tmp_path))
    monkeypatch.setenv("PSA_ERP_HOOKS", SECRET)
    return folder


def test_it_says_what_was_taken_and_fails_where_anything_was_not(config: Path) -> None:
    """It ends well although nobody got anything."""
    assert "has no route" in CliRunner().invoke(app, ["notify", "test"]).stderr
    with webhook_receiver() as hook:
        route = {"name": "on-call", "webhooks": [{"url": hook.url, "secrets": "PSA_ERP_HOOKS"}]}
        (config / "notifications.yaml").write_text(yaml.safe_dump({"routes": [route]}), encoding="utf-8")
        good = CliRunner().invoke(app, ["notify", "test", "--json"])
        assert good.exit_code == 0, good.stderr
        [sent] = json.loads(good.stdout)
        assert (sent["route"], sent["channel"], sent["error"]) == ("on-call", "webhook", None)
        [(headers, body)] = hook.wait_for(1)
        assert headers["webhook-signature"].startswith("v1,")
        assert json.loads(body)["data"]["lines"] == []
        hook.refuse = 1
        bad = CliRunner().invoke(app, ["notify", "test", "--route", "on-call"])
    assert bad.exit_code == 1
    assert "answered 503" in bad.stdout
    assert SECRET not in bad.output + good.output
    assert CliRunner().invoke(app, ["notify", "test", "--route", "other"]).exit_code == 1
