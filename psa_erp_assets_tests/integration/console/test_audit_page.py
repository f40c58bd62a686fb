"""The audit log in the console: who may read it, how it is filtered, and proofs to take away."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine

from psa_erp_assets.console.access import Visitor
from psa_erp_assets.domain.access import Actor, Grant, Permission, Role
from psa_erp_assets.services import audit, audit_log
from psa_erp_assets.settings import Settings, load_settings
from psa_erp_assets_tests.support.console import HOSTILE, NOW, TENANT, make_app, served


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    read = load_settings({"PSA_ERP_HOME": str(tmp_path)})
    return read.model_copy(update={"company": read.company.model_copy(update={"tenant": TENANT})})


@pytest.fixture
def console(store_engine: Engine, settings: Settings) -> Iterator[str]:
    """A console on a log of 61 entries that are signed, and one that waits."""
    for number in range(60):
        _entry(store_engine, f"kind.{'odd' if number % 2 else 'even'}", f"thing:{number}")
    audit_log.seal(store_engine, settings, now=NOW)
    audit_log.verify(store_engine, settings, now=NOW)
    _entry(store_engine, "kind.late", HOSTILE)
    app = make_app(store_engine, prove=lambda connection, wanted: audit_log.prove(connection, settings, wanted))
    with served(app) as address:
        yield address


def _entry(engine: Engine, kind: str, subject: str) -> None:
    with engine.begin() as connection:
        audit.record(
            connection, TENANT, kind=kind, subject=subject, actor="ada", detail={}, now=NOW + dt.timedelta(days=1)
        )


def test_the_page_shows_the_log_and_where_it_stands(console: str) -> None:
    """An auditor could not tell whether the log was signed and verified, or reach its older entries."""
    page = httpx.get(f"{console}/audit").text
    assert "holds" in page
    assert "rows that the next seal puts in order" in page
    assert page.count("Download") == 50
    assert "before=" in page
    assert "thing:1<" not in page
    older = page.split('rel="next"', maxsplit=1)[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    assert "thing:1<" in httpx.get(f"{console}{older}").text


def test_entries_are_found_by_kind_subject_and_actor(console: str) -> None:
    """Somebody would read through a million entries for one."""
    read = [
        httpx.get(f"{console}/api/v1/audit", params=params).json()["entries"]
        for params in ({"kind": "kind.odd"}, {"subject": "thing:7"}, {"actor": "nobody"})
    ]
    assert [len(entries) for entries in read] == [30, 1, 0]
    assert "No entry is like that" in httpx.get(f"{console}/audit", params={"actor": "nobody"}).text


def test_a_proof_is_handed_out_and_none_where_there_is_none(console: str) -> None:
    """The page would offer proofs that nobody can check, or fail where there is nothing to prove."""
    answer = httpx.get(f"{console}/api/v1/audit/proof", params={"wanted": "thing:7"})
    assert answer.json()["entries"][0]["leaf"]["subject"] == "thing:7"
    assert "attachment" in answer.headers["content-disposition"]
    assert httpx.get(f"{console}/audit/proof", params={"wanted": "nothing"}).status_code == 404
    assert httpx.get(f"{console}/audit/proof", params={"wanted": "9" * 30}).status_code == 404


def test_what_an_entry_says_is_no_markup(store_engine: Engine, settings: Settings, console: str) -> None:
    """An id from outside would run in the auditor's browser."""
    audit_log.seal(store_engine, settings, now=NOW)
    page = httpx.get(f"{console}/audit").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page


def test_only_auditors_read_it(store_engine: Engine) -> None:
    """The log tells who did what, which is not for everybody."""

    async def gate(_: object) -> Visitor:
        return Visitor(actor=Actor(id="v", name="V", grants=frozenset({Grant(Role.VIEWER)})))

    assert not Actor(id="v", name="V", grants=frozenset({Grant(Role.VIEWER)})).may(Permission.AUDIT)
    with served(make_app(store_engine, gate=gate)) as address:
        for path in ("/audit", "/api/v1/audit", "/audit/proof?wanted=1"):
            assert httpx.get(f"{address}{path}").status_code == 403
