"""What all sandboxes share: faults at the flip of a switch, state that outlives the process, keys that stay secret."""

import json
import os
import signal
import stat
import subprocess
import sys
import time

import httpx
import pytest

from psa_erp_assets.sandbox.actors import actors_at
from psa_erp_assets.sandbox.company import build_company
from psa_erp_assets.sandbox.serve import load_keys, running_sandbox
from psa_erp_assets.sandbox.state import JournalMismatchError


@pytest.fixture
def get(sandbox, company):
    urls = {
        "clockify": f"{sandbox.clockify_url}/v1/workspaces/{company.workspace_id}/clients",
        "hubspot": f"{sandbox.hubspot_url}/crm/v3/objects/companies",
        "bamboohr": f"{sandbox.bamboohr_url}/api/v1/employees/directory",
        "kantata": f"{sandbox.kantata_url}/stories",
    }
    headers = {
        "clockify": {"X-Api-Key": sandbox.keys.clockify},
        "hubspot": {"Authorization": f"Bearer {sandbox.keys.hubspot}"},
        "bamboohr": {},
        "kantata": {"Authorization": f"Bearer {sandbox.keys.kantata}"},
    }
    with httpx.Client(trust_env=False) as client:
        yield lambda vendor: client.get(
            urls[vendor], headers=headers[vendor], auth=(sandbox.keys.bamboohr, "x") if vendor == "bamboohr" else None
        )
    sandbox.control.reset()


VENDORS = ("clockify", "hubspot", "bamboohr", "kantata")


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize(("status", "retry_after"), [(429, 3), (429, None), (500, None), (503, 1)])
def test_status_storm(sandbox, get, vendor, status, retry_after):
    """Three refusals, then all is well: what a client's retries must ride out."""
    sandbox.control.fault(vendor, "status", status=status, retry_after=retry_after, times=3)
    answers = [get(vendor) for _ in range(4)]
    assert [a.status_code for a in answers] == [status] * 3 + [200]
    assert answers[0].headers.get("retry-after") == (None if retry_after is None else str(retry_after))


@pytest.mark.parametrize("vendor", VENDORS)
def test_faults_of_the_wire(sandbox, get, vendor):
    """Each looks different to a client, and none may look like an empty answer."""
    for kind in ("drop", "truncate"):
        sandbox.control.fault(vendor, kind, times=1)
        with pytest.raises(httpx.TransportError):
            get(vendor)
    sandbox.control.fault(vendor, "html", times=1)
    page = get(vendor)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    sandbox.control.fault(vendor, "auth_revoked")
    assert [get(vendor).status_code for _ in range(2)] == [401, 401]
    sandbox.control.clear(vendor)
    assert get(vendor).status_code == 200


def test_latency(sandbox, get):
    """A slow vendor, to meet a client's time-out."""
    sandbox.control.fault("clockify", "latency", seconds=0.4, times=1)
    begun = time.monotonic()
    assert get("clockify").status_code == 200
    assert time.monotonic() - begun >= 0.4


def test_rate_limit(sandbox, get):
    """So many a second pass and no more."""
    sandbox.control.fault("hubspot", "rate_limit", per_second=3)
    statuses = [get("hubspot").status_code for _ in range(6)]
    assert statuses[:3] == [200] * 3
    assert 429 in statuses[3:]


def test_drop_after_the_request_took_effect(sandbox, company, get):
    """The ambiguous case: the work was done and its answer was lost."""
    edit = company.edits_after_approval[0]
    with actors_at(sandbox) as people:
        sandbox.control.fault("clockify", "drop", path=f"/time-entries/{edit.entry_id}", after=True, times=1)
        with pytest.raises(httpx.TransportError):
            people.delete_entry(edit.entry_id)
        with pytest.raises(httpx.HTTPStatusError):
            people.entry(edit.entry_id)


def test_fault_strikes_only_its_vendor_and_path(sandbox, get, company):
    """A fault that spreads would hide which connector failed."""
    sandbox.control.fault("clockify", "status", status=500, path="/time-entries")
    assert [get(v).status_code for v in VENDORS] == [200] * 4


def test_stats_count_what_was_asked(sandbox, get):
    """Tests of quotas and of needless requests rest on these counts."""
    before = sandbox.control.stats()["hubspot"]
    get("hubspot")
    after = sandbox.control.stats()["hubspot"]
    assert after["requests"] - before["requests"] == 1
    assert after["statuses"]["200"] - before["statuses"].get("200", 0) == 1


@pytest.mark.parametrize(
    "body", [{}, {"kind": "earthquake"}, {"kind": "status", "status": 7}, {"kind": "drop", "colour": "red"}]
)
def test_unknown_faults_are_refused(sandbox, body):
    """A fault that silently does nothing makes a chaos test pass for nothing."""
    headers = {"authorization": f"Bearer {sandbox.keys.control}"}
    url = f"{sandbox.base_url}/_sandbox/faults/clockify"
    assert httpx.put(url, json=body, headers=headers, trust_env=False).status_code == 400


def test_control_panel_asks_for_its_own_key(sandbox):
    """Whoever can read the sources cannot break them."""
    headers = {"authorization": f"Bearer {sandbox.keys.hubspot}"}
    assert httpx.post(f"{sandbox.base_url}/_sandbox/reset", headers=headers, trust_env=False).status_code == 401


def test_changes_survive_a_restart(tmp_path, company):
    """A demo that is stopped and started again must not take edits back."""
    edit = company.edits_after_approval[0]
    with running_sandbox(company, tmp_path) as sandbox, actors_at(sandbox) as people:
        people.play_edits_after_approval()
        people.play_deletions_after_approval()
    # What a crash in the middle of a write leaves behind.
    with (tmp_path / "journal.jsonl").open("a") as journal:
        journal.write('[["time_entries","')
    with running_sandbox(company, tmp_path) as sandbox, actors_at(sandbox) as people:
        assert people.entry(edit.entry_id)["timeInterval"]["end"] == edit.end.strftime("%Y-%m-%dT%H:%M:%SZ")
        people.edit_entry(edit.entry_id, minutes=5)
    with running_sandbox(company, tmp_path) as sandbox, actors_at(sandbox) as people:
        assert people.entry(edit.entry_id)["timeInterval"]["duration"] == "PT5M"
        with pytest.raises(httpx.HTTPStatusError):
            people.entry(company.deletions_after_approval[0])
        sandbox.control.reset()
        assert people.entry(company.deletions_after_approval[0])["isLocked"]
    assert (tmp_path / "journal.jsonl").read_text().count("\n") == 1


def test_journal_of_another_company_is_refused(tmp_path, company):
    """Its ids mean nothing here; applied, they would leave orphans."""
    with running_sandbox(company, tmp_path):
        pass
    with pytest.raises(JournalMismatchError, match="seed=7"), running_sandbox(build_company(seed=7), tmp_path):
        pass


def test_keys_are_random_and_never_shown(company):
    """A constant key would sooner or later be somebody's real one."""
    with running_sandbox(company) as one, running_sandbox(company, keys={"hubspot": "given"}) as two:
        assert set(one.keys.as_mapping().values()).isdisjoint(two.keys.as_mapping().values())
        assert two.keys.hubspot == "given"
        assert not any(key in repr(one.keys) for key in one.keys.as_mapping().values())


def test_keys_of_the_process(tmp_path):
    """The environment goes first and is written nowhere; the rest is kept for the next start, for its owner only."""
    first = load_keys(tmp_path, {"PSA_SANDBOX_CLOCKIFY_KEY": "from-outside"})
    stored = json.loads((tmp_path / "secrets.json").read_text())
    assert first.clockify == "from-outside"
    assert "from-outside" not in stored.values()
    assert load_keys(tmp_path, {}).hubspot == first.hubspot == stored["hubspot"]
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600


def test_as_a_process(tmp_path):
    """The way in which the demo runs it: it says where it listens, and stops when it is told to."""
    command = [sys.executable, "-m", "psa_erp_assets.sandbox.serve", "--home", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ}) as process:
        try:
            assert process.stdout is not None
            base_url = process.stdout.readline().strip()
            assert json.loads((tmp_path / "sandbox.json").read_text())["base_url"] == base_url
            key = json.loads((tmp_path / "secrets.json").read_text())["clockify"]
            deadline = time.monotonic() + 20
            while True:
                try:
                    answer = httpx.get(
                        f"{base_url}/clockify/api/v1/user", headers={"x-api-key": key}, trust_env=False, timeout=5
                    )
                    break
                except httpx.TransportError:
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            assert answer.status_code == 200
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(15) in (0, -signal.SIGTERM)
