"""`psa-erp users` and `psa-erp tokens`, and that nothing listens to others while nobody could sign in."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from psa_erp_assets.adapters import postgres
from psa_erp_assets.adapters.postgres import ServerInfo
from psa_erp_assets.cli.app import app
from psa_erp_assets.cli.serving import check_host, say_first_link
from psa_erp_assets.services import accounts
from psa_erp_assets.services.runtime import OPERATIONAL_DATABASE, Runtime, open_prepared
from psa_erp_assets.settings import OperatorError, load_settings
from psa_erp_assets_tests.support.postgres import UNSAFE_BUT_FAST


@pytest.fixture(scope="module")
def own_server() -> Iterator[ServerInfo]:
    """A server of its own: commands use the databases' fixed names and the shipped tenant."""
    with (
        tempfile.TemporaryDirectory(prefix="psa-erp-test-", ignore_cleanup_errors=True) as folder,
        postgres.running(Path(folder) / "postgres", overrides=UNSAFE_BUT_FAST) as server,
    ):
        yield server


@pytest.fixture
def runtime(own_server: ServerInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """A store without accounts."""
    monkeypatch.setenv("PSA_ERP_HOME", str(tmp_path))
    monkeypatch.setenv("PSA_ERP_DATABASE_URL", own_server.url("postgres"))
    monkeypatch.setenv("COLUMNS", "400")
    postgres.drop_database(own_server, OPERATIONAL_DATABASE)
    with open_prepared(load_settings()) as opened:
        yield opened


def run(*words: str) -> Result:
    """What a command answers."""
    return CliRunner().invoke(app, list(words))


def ok(*words: str) -> str:
    """What a command prints that works."""
    result = run(*words)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def fails(*words: str) -> str:
    """What a command says that fails as it should."""
    result = run(*words)
    assert (result.exit_code, result.stdout) == (1, "")
    return " ".join(result.stderr.split())


def test_accounts_are_kept_from_the_command_line(runtime: Runtime) -> None:
    """Somebody can be added, or kept out, in the browser alone: nobody could who has locked themselves out of it."""
    added = json.loads(
        ok("users", "add", "Ada@example.com", "--name", "Ada", "--role", "admin", "--role", "operator:UK", "--json")
    )
    assert (added["login"], added["roles"]) == ("ada@example.com", ["admin", "operator:UK"])
    secret = added["link"].rpartition("/link/")[2]
    tenant, now = runtime.settings.tenant, runtime.clock()
    assert accounts.link_login(runtime.engine, tenant, secret, now=now) == "ada@example.com"
    assert "http://127.0.0.1:8080/link/" in ok("users", "add", "bob@example.com")
    ok("users", "grant", "bob@example.com", "approver:DE")
    ok("users", "revoke", "bob@example.com", "viewer")
    (_, bob) = json.loads(ok("users", "list", "--json"))
    assert (bob["login"], bob["grants"], bob["disabled"]) == ("bob@example.com", ["approver:DE"], False)
    ok("users", "disable", "bob@example.com")
    assert "bob@example.com is disabled" in fails("users", "reset-link", "bob@example.com")
    ok("users", "enable", "bob@example.com")
    assert "/link/" in ok("users", "reset-link", "bob@example.com")
    assert "approver:DE" in ok("users", "list")


def test_mistakes_are_explained(runtime: Runtime) -> None:
    """A slip gives a role that nobody meant, or ends in a traceback."""
    assert runtime.settings.entity_codes
    ok("users", "add", "ada", "--role", "admin")
    assert "there is an account ada already" in fails("users", "add", "ada")
    assert "there is no role 'boss'; roles are viewer" in fails("users", "grant", "ada", "boss")
    assert "there is no legal entity 'FR'" in fails("users", "grant", "ada", "viewer:FR")
    assert "an admin is one for all legal entities" in fails("users", "grant", "ada", "admin:UK")
    assert "ada is admin already" in fails("users", "grant", "ada", "admin")
    assert "the only administrator" in fails("users", "disable", "ada")
    assert "there is no account bob" in fails("users", "disable", "bob")
    assert "a name of the program's own" in fails("users", "add", "dagster")
    assert "no space" in fails("users", "add", "a b")
    assert "there is no account bob" in fails("tokens", "create", "bob", "--name", "x", "--may", "view")
    assert "there is no token nothing to revoke" in fails("tokens", "revoke", "nothing")


def test_tokens_are_kept_from_the_command_line(runtime: Runtime) -> None:
    """A token is made that does something else than was asked for, cannot be found again, or is told twice."""
    assert runtime.settings.entity_codes
    ok("users", "add", "ada", "--role", "operator")
    words = ("--name", "Export", "--may", "view", "--may", "submit", "--entity", "UK", "--days", "5")
    made = json.loads(ok("tokens", "create", "ada", *words, "--json"))
    prefix = made["token"].split("_")[1]
    (line,) = json.loads(ok("tokens", "list", "ada", "--json"))
    assert (line["prefix"], line["permissions"], line["legal_entities"]) == (prefix, ["view", "submit"], ["UK"])
    assert line["state"] == "alive"
    assert made["token"] not in ok("tokens", "list")
    ok("tokens", "revoke", prefix)
    assert json.loads(ok("tokens", "list", "--json"))[0]["state"] == "revoked"


def test_the_first_start_prints_a_link_until_somebody_has_an_account(
    runtime: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody can sign in to a new installation, or the link is printed for ever."""
    say_first_link(runtime)
    secret = capsys.readouterr().out.rpartition("/link/")[2].strip()
    tenant, now = runtime.settings.tenant, runtime.clock()
    assert accounts.link_login(runtime.engine, tenant, secret, now=now) is None
    accounts.use_link(
        runtime.engine, tenant, secret, login="ada", name="Ada", password="correct horse battery", now=now
    )
    say_first_link(runtime)
    assert capsys.readouterr().out == ""


def test_nothing_listens_to_others_while_nobody_could_sign_in(
    runtime: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever comes first over the network becomes the administrator."""
    for host in ("127.0.0.1", "::1", "localhost"):
        check_host(runtime, host)
    for host in ("0.0.0.0", "::", "192.0.2.7", ""):
        with pytest.raises(OperatorError, match="nobody has an account"):
            check_host(runtime, host)
    refused = fails("serve", "--host", "0.0.0.0")
    assert "does not listen at 0.0.0.0 while nobody has an account" in refused
    ok("users", "add", "ada", "--role", "admin")
    check_host(runtime, "0.0.0.0")
    assert "https://" in capsys.readouterr().err
