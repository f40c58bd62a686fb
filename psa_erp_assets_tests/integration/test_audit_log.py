"""The audit log on a real PostgreSQL: sealed, verified, proved, tampered with, erased from."""

import datetime as dt
import json
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, insert, text
from sqlalchemy.exc import IntegrityError

from psa_erp_assets.adapters import audit_notes
from psa_erp_assets.adapters.store import schema
from psa_erp_assets.adapters.store.inbox import Payload
from psa_erp_assets.adapters.store.inbox import record as keep_payloads
from psa_erp_assets.domain.audit import Personal
from psa_erp_assets.services import audit, audit_erasure, audit_log
from psa_erp_assets.services.audit_log import AuditLogError, VerifyReport
from psa_erp_assets.settings import REPOSITORY, Settings, load_settings
from psa_erp_assets_tests.support.scripted_server import Reply, scripted_server
from psa_erp_assets_tests.support.webhook_receiver import webhook_receiver

NOW = dt.datetime(2026, 10, 5, 9, 30, tzinfo=dt.UTC)
MUTATIONS = 320
VERIFIER = REPOSITORY / "docs" / "verify_audit_proof.py"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of their own, that a test may edit."""
    shutil.copytree(REPOSITORY / "data" / "config", tmp_path / "config")
    return load_settings({"PSA_ERP_HOME": str(tmp_path / "home"), "PSA_ERP_CONFIG": str(tmp_path / "config")})


@pytest.fixture
def log(store_engine: Engine, settings: Settings) -> Engine:
    """A store with something of everything, sealed in three goes."""
    for day in range(3):
        with store_engine.begin() as connection:
            fill(connection, settings.tenant, day)
        audit_log.seal(store_engine, settings, now=NOW + dt.timedelta(days=day))
    return store_engine


def fill(connection: Connection, tenant: str, day: int) -> None:
    """What a day brings. Entry e1 has another description each day."""
    now = NOW + dt.timedelta(days=day)
    payloads = [
        Payload(
            object_id=f"e{number}",
            body={"id": f"e{number}", "user_id": f"u{number % 2}", "entry": {"description": f"work {number * day}"}},
        )
        for number in range(4)
    ]
    keep_payloads(
        connection,
        tenant=tenant,
        source="clockify",
        object_type="time_entry",
        payloads=payloads,
        arrived_by="sweep",
        now=now,
    )
    for number in range(3):
        connection.execute(
            insert(schema.decision).values(
                tenant=tenant,
                object_id=f"time_entry:clockify:e{number}",
                revision=day + 1,
                outcome="post",
                body={"amount": f"{day}.00"},
                content_hash=f"{day}",
                decided_at=now,
            )
        )
    plan_id = connection.execute(
        insert(schema.plan)
        .values(
            tenant=tenant,
            legal_entity="UK",
            service_month="2026-09",
            status="applied" if day else "rejected",
            facts_hash="f",
            created_by="dagster",
            created_at=now,
            reviewed_by="Ada",
            reviewed_at=now,
            applied_at=now if day else None,
        )
        .returning(schema.plan.c.id)
    ).scalar_one()
    connection.execute(
        text(
            "INSERT INTO ops.posting (key, tenant, legal_entity, service_month, erp_company, effect_type, operation,"
            " leg, object_id, revision, source_revision, payload, payload_hash, amount, currency, minutes,"
            " service_date, plan_id, created_at, state, due_at, state_since)"
            " VALUES (:key, :tenant, 'UK', '2026-09', '1', 'billing_line', 'create',"
            " 'original', 'time_entry:clockify:e1', 1, 1, '{}', 'h', 12.50, 'GBP', 30,"
            " '2026-09-01', :plan, :now, 'planned', :now, :now)"
        ),
        {"key": f"{day:032x}", "tenant": tenant, "plan": plan_id, "now": now},
    )
    for event, before, after in (("added", None, "planned"), ("promoted", "planned", "ready")):
        connection.execute(
            insert(schema.posting_event).values(
                key=f"{day:032x}",
                event=event,
                from_state=before,
                to_state=after,
                fence=0,
                worker="w",
                detail={},
                at=now,
            )
        )
    audit.record(
        connection,
        tenant,
        kind="access.granted",
        subject="account:7",
        actor="ada",
        detail={"role": "viewer", "mail": Personal(f"jane{day}@example.com", "u1"), "by": Personal("Bo", "u0")},
        now=now,
    )


def verified(engine: Engine, settings: Settings) -> VerifyReport:
    return audit_log.verify(engine, settings, now=NOW)


def test_everything_that_happened_is_in_the_log_once(log: Engine, settings: Settings) -> None:
    """A payload, a decision, an approval or an attempt would have no entry, or two."""
    with log.connect() as connection:
        counted = connection.execute(text("SELECT kind, count(*) FROM ops.audit_leaf GROUP BY kind"))
        kinds = {row[0]: row[1] for row in counted}
        seqs = connection.execute(text("SELECT seq FROM ops.audit_leaf ORDER BY seq")).scalars().all()
    assert kinds == {
        "settings.changed": 1,
        "settings.kept": 1,
        "access.granted": 3,
        "payload.received": 10,
        "work.decided": 9,
        "plan.proposed": 3,
        "plan.rejected": 1,
        "plan.approved": 2,
        "plan.applied": 2,
        "posting.added": 3,
        "posting.promoted": 3,
    }
    assert list(seqs) == list(range(1, len(seqs) + 1))
    again = audit_log.seal(log, settings, now=NOW)
    assert (again.added, again.checkpoint) == ({}, None)
    report = verified(log, settings)
    assert report.findings.holds, report.findings.problems
    assert (report.findings.checkpoints, report.findings.unchecked, report.waiting) == (3, 0, {})


def test_what_is_not_in_order_yet_is_visible(log: Engine, settings: Settings) -> None:
    """Entries between two seals would seem to be lost."""
    with log.begin() as connection:
        fill(connection, settings.tenant, 3)
    report = verified(log, settings)
    assert report.findings.holds
    assert report.waiting["posting_event"] == 2
    assert report.waiting["audit_entry"] == 1


def test_a_row_that_commits_after_a_higher_one_gets_its_place(log: Engine, settings: Settings) -> None:
    """Ids are given before the commit; a slow transaction's row would be passed over for good."""
    slow = log.connect()
    transaction = slow.begin()
    fill(slow, settings.tenant, 3)
    with log.begin() as connection:
        fill_entry(connection, settings.tenant)
    for _ in range(3):
        audit_log.seal(log, settings, now=NOW)
    assert audit_log.seal(log, settings, now=NOW).added == {}
    transaction.commit()
    slow.close()
    added = audit_log.seal(log, settings, now=NOW).added
    assert added["audit_entry"] == 1
    assert added["posting_event"] == 2
    assert verified(log, settings).waiting == {}


def fill_entry(connection: Connection, tenant: str) -> None:
    audit.record(connection, tenant, kind="settings.seen", subject="x", actor="y", detail={}, now=NOW)


def test_sealers_take_turns(store_engine: Engine, settings: Settings) -> None:
    """The console and Dagster seal at once; the log would fork, or one of them fail."""
    with store_engine.begin() as connection:
        for day in range(6):
            fill(connection, settings.tenant, day)
    trouble: list[BaseException] = []

    def seal() -> None:
        try:
            for _ in range(3):
                audit_log.seal(store_engine, settings, now=NOW)
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            trouble.append(error)

    threads = [threading.Thread(target=seal) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert trouble == []
    report = verified(store_engine, settings)
    assert report.findings.holds, report.findings.problems
    assert report.waiting == {}


Tampering = Callable[[Connection, random.Random], None]


def _pick(connection: Connection, rng: random.Random, table: str, column: str) -> Any:
    ids = connection.execute(text(f"SELECT {column} FROM ops.{table} ORDER BY 1")).scalars().all()
    return rng.choice(ids)


def _edit(table: str, column: str, change: str, key: str = "id", where: str = "true") -> Tampering:
    def tamper(connection: Connection, rng: random.Random) -> None:
        ids = connection.execute(text(f"SELECT {key} FROM ops.{table} WHERE {where} ORDER BY 1")).scalars().all()
        connection.execute(
            text(f"UPDATE ops.{table} SET {column} = {change} WHERE {key} = :id"), {"id": rng.choice(ids)}
        )

    return tamper


def _delete(table: str, key: str = "id") -> Tampering:
    def tamper(connection: Connection, rng: random.Random) -> None:
        row = _pick(connection, rng, table, key)
        connection.execute(text(f"DELETE FROM ops.{table} WHERE {key} = :id"), {"id": row})

    return tamper


def _swap(connection: Connection, rng: random.Random) -> None:
    last = connection.execute(text("SELECT max(seq) FROM ops.audit_leaf")).scalar_one()
    first, second = rng.sample(range(1, last + 1), 2)
    for old, new in ((first, -1), (second, first), (-1, second)):
        connection.execute(
            text("UPDATE ops.audit_leaf SET seq = :new WHERE seq = :old"),
            {"new": new if new > 0 else last + 9, "old": old if old > 0 else last + 9},
        )


def _cut_off(connection: Connection, rng: random.Random) -> None:
    seq = _pick(connection, rng, "audit_leaf", "seq")
    connection.execute(text("DELETE FROM ops.audit_leaf WHERE seq >= :seq"), {"seq": seq})
    connection.execute(text("UPDATE ops.audit_tree SET size = :size"), {"size": seq - 1})


def _close_gap(connection: Connection, rng: random.Random) -> None:
    seq = _pick(connection, rng, "audit_leaf", "seq")
    connection.execute(text("DELETE FROM ops.audit_leaf WHERE seq = :seq"), {"seq": seq})
    connection.execute(text("UPDATE ops.audit_leaf SET seq = seq + 100000 WHERE seq > :seq"), {"seq": seq})
    connection.execute(text("UPDATE ops.audit_leaf SET seq = seq - 100001 WHERE seq > 100000"))


TAMPERINGS: tuple[Tampering, ...] = (
    _edit("audit_leaf", "actor", "'somebody'", "seq"),
    _edit("audit_leaf", "content", "md5(random()::text)", "seq"),
    _edit("audit_leaf", "hash", "sha256(random()::text::bytea)", "seq"),
    _edit("audit_leaf", "at", "at + interval '1 second'", "seq"),
    _edit("audit_leaf", "commitment", "NULL", "seq", "commitment IS NOT NULL"),
    _edit("inbox", "payload", "payload || '{\"minutes\": 1}'"),
    _edit("inbox", "received_at", "received_at - interval '1 day'"),
    _edit("decision", "body", '\'{"amount": "99.00"}\''),
    _edit("decision", "outcome", "'hold'"),
    _edit("plan", "reviewed_by", "'Eve'"),
    _edit("plan", "status", "CASE status WHEN 'rejected' THEN 'applied' ELSE 'rejected' END"),
    _edit("plan", "created_by", "'Eve'"),
    _edit("posting", "amount", "amount + 1", "key"),
    _edit("posting_event", "detail", '\'{"erp_id": "77"}\''),
    _edit("audit_entry", "detail", 'detail || \'{"role": "admin"}\'', where="kind = 'access.granted'"),
    _edit("audit_entry", "actor", "'eve'"),
    _edit("audit_personal", "value", "'eve@example.com'", "ref", "source = 'audit_entry'"),
    _edit("audit_personal", "salt", "sha256(random()::text::bytea)", "ref", "source = 'inbox'"),
    _edit("audit_checkpoint", "note", "note || 'x'", "number"),
    _delete("audit_leaf", "seq"),
    _delete("inbox"),
    _delete("decision"),
    _delete("posting_event"),
    _delete("audit_entry"),
    _delete("audit_personal", "ref"),
    _delete("audit_checkpoint", "number"),
    _swap,
    _cut_off,
    _close_gap,
)


def test_mutations_of_the_database_with_the_triggers_off_are_all_noticed(log: Engine, settings: Settings) -> None:
    """Somebody with the rights of the database owner changes a row, and the verification calls it well."""
    rng, missed = random.Random(7), []
    outside = audit_notes.read(audit_log.folder(settings), audit_log.signing_key(settings).public)
    with log.connect() as connection:
        assert audit_log.findings(connection, settings, outside).findings.holds
    for number in range(MUTATIONS):
        with log.connect() as connection, connection.begin() as transaction:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            TAMPERINGS[number % len(TAMPERINGS)](connection, rng)
            if audit_log.findings(connection, settings, outside).findings.holds:
                missed.append(number % len(TAMPERINGS))
            transaction.rollback()
    assert missed == []
    assert verified(log, settings).findings.holds


def test_an_old_backup_is_noticed_and_nothing_is_signed_on_top_of_it(log: Engine, settings: Settings) -> None:
    """Posting would go on from a ledger that has forgotten what it posted, and the fork would be signed."""
    with log.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        [size] = connection.execute(text("SELECT size FROM ops.audit_checkpoint WHERE number = 2")).scalars()
        connection.execute(text("DELETE FROM ops.audit_checkpoint WHERE number > 2"))
        connection.execute(text("DELETE FROM ops.audit_leaf WHERE seq > :size"), {"size": size})
    with pytest.raises(AuditLogError, match="old backup"):
        audit_log.refuse_disagreement(log, settings)
    with pytest.raises(AuditLogError, match="old backup"):
        audit_log.seal(log, settings, now=NOW)
    assert not verified(log, settings).findings.holds


def test_checkpoints_that_are_gone_or_edited_are_noticed(log: Engine, settings: Settings) -> None:
    """Whoever can write files could take away what convicts them."""
    files = sorted(audit_log.folder(settings).iterdir())
    note = files[1].read_text()
    files[1].write_text(note.replace("number 2", "number 3"))
    assert not verified(log, settings).findings.holds
    files[1].unlink()
    assert not verified(log, settings).findings.holds
    files[1].write_text(note)
    assert verified(log, settings).findings.holds
    for file in files:
        file.unlink()
    assert not verified(log, settings).findings.holds


def test_a_crash_before_the_file_was_written_is_made_good(log: Engine, settings: Settings) -> None:
    """A checkpoint that only the database has would be called tampering for ever."""
    sorted(audit_log.folder(settings).iterdir())[-1].unlink()
    with log.begin() as connection:
        fill_entry(connection, settings.tenant)
    audit_log.seal(log, settings, now=NOW)
    assert len(list(audit_log.folder(settings).iterdir())) == 4
    assert verified(log, settings).findings.holds


def test_a_proof_convinces_a_verifier_that_has_nothing_of_ours(log: Engine, settings: Settings, tmp_path: Path) -> None:
    """An auditor could only take our word; or they would believe a proof of something else."""
    with log.connect() as connection:
        proof = audit_log.prove(connection, settings, "time_entry:clockify:e1")
        single = audit_log.prove(connection, settings, "7")
        with pytest.raises(AuditLogError):
            audit_log.prove(connection, settings, "999999")
    public = audit_log.signing_key(settings).public
    assert len(proof["entries"]) == 6
    for body in (proof, single):
        assert _checked_apart(body, public, tmp_path) == 0
    forged: list[dict[str, Any]] = []
    for change in (
        lambda b: b["entries"][0]["leaf"].update(actor="eve"),
        lambda b: b["entries"][0]["document"].update(version=9),
        lambda b: b["entries"][0].update(index=b["entries"][0]["index"] + 1),
        lambda b: b["entries"][0]["proof"].pop(),
        lambda b: b.update(checkpoint=b["checkpoint"].replace("number 3", "number 4")),
        lambda b: b.update(entries=[]),
    ):
        body = json.loads(json.dumps(proof))
        change(body)
        forged.append(body)
    assert all(_checked_apart(body, public, tmp_path) != 0 for body in forged)
    other = audit_notes.load_key(tmp_path / "other.pem", f"psa-erp/{settings.tenant}").public
    assert _checked_apart(proof, other, tmp_path) != 0


def sent_to(settings: Settings, url: str) -> Settings:
    """The settings with an address for checkpoints."""
    told = settings.policies.audit.model_copy(update={"checkpoint_url": url})
    return settings.model_copy(update={"policies": settings.policies.model_copy(update={"audit": told})})


def test_checkpoints_go_to_an_address_until_they_are_taken(log: Engine, settings: Settings, tmp_path: Path) -> None:
    """The copy that the operators cannot write would lack what was signed while its server was away."""
    with webhook_receiver(refuse=2) as receiver:
        there = sent_to(settings, receiver.url)
        tries = [audit_log.seal(log, there, now=NOW) for _ in range(4)]
        assert [one.delivered for one in tries] == [False, False, True, None], "refused with 503 twice, then taken"
        assert {one.checkpoint for one in tries} == {None}, "nothing new was signed for it"
        with log.begin() as connection:
            fill_entry(connection, settings.tenant)
        assert audit_log.seal(log, there, now=NOW).delivered
        arrived = receiver.wait_for(2)
    files = [path.read_bytes() for path in sorted(audit_log.folder(settings).glob("*.checkpoint"))]
    assert [body for _, body in arrived] == files[-2:], "what is outside is what was signed, to the byte"
    assert {headers["content-type"] for headers, _ in arrived} == {"text/plain; charset=utf-8"}
    public = audit_log.signing_key(settings).public
    with log.connect() as connection:
        proof = audit_log.prove(connection, settings, "time_entry:clockify:e1")
    # An auditor takes the checkpoint that they were sent, whatever the proof brings along.
    proof["checkpoint"] = arrived[-1][1].decode()
    assert _checked_apart(proof, public, tmp_path) == 0
    proof["checkpoint"] = arrived[0][1].decode()
    assert _checked_apart(proof, public, tmp_path) != 0, "a proof is of one state of the log"
    assert verified(log, settings).findings.holds


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=500),
        Reply(status=302, headers={"Location": "http://127.0.0.1:9/"}),
        Reply(status=200, body=b"half", drop=True),
    ],
    ids=["error", "elsewhere", "cut off"],
)
def test_an_address_that_fails_keeps_nobody_from_sealing(log: Engine, settings: Settings, reply: Reply) -> None:
    """A broken server of the auditors would stop the log, or what it did not take would count as taken."""
    with scripted_server(lambda _: reply) as server:
        there = sent_to(settings, f"{server.url}/checkpoints")
        with log.begin() as connection:
            fill_entry(connection, settings.tenant)
        report = audit_log.seal(log, there, now=NOW)
        assert (report.checkpoint, report.delivered) == (4, False)
        assert audit_log.seal(log, there, now=NOW).delivered is False
        assert len(server.asked) == 2
    assert audit_log.seal(log, there, now=NOW).delivered is False, "nobody listens any more"
    assert verified(log, settings).findings.holds


def _checked_apart(body: dict[str, Any], public: str, folder: Path) -> int:
    path = folder / "proof.json"
    path.write_text(json.dumps(body), encoding="utf-8")
    command = [sys.executable, "-I", str(VERIFIER), str(path), public]
    return subprocess.run(command, capture_output=True, check=False).returncode


def test_an_erasure_takes_the_data_and_leaves_every_proof(log: Engine, settings: Settings, tmp_path: Path) -> None:
    """What somebody wrote would stay, or what proves everybody's hours would go with it."""
    with log.connect() as connection:
        before = audit_log.prove(connection, settings, "time_entry:clockify:e1")
    report = audit_erasure.erase_person(log, settings, "u1", reason="their request", actor="dpo", now=NOW)
    assert report.erased == {"inbox": 4, "audit_entry": 3}
    with log.connect() as connection:
        rest = connection.execute(
            text("SELECT payload #>> '{entry,description}' FROM ops.inbox WHERE object_id = 'e1' ORDER BY id")
        )
        assert rest.scalars().all() == ["erased", "erased", "work 2"]
        values = connection.execute(text("SELECT value FROM ops.audit_personal WHERE source = 'audit_entry'"))
        assert set(values.scalars()) == {"Bo"}
        after = audit_log.prove(connection, settings, "time_entry:clockify:e1")
    found = verified(log, settings).findings
    assert found.holds, found.problems
    public = audit_log.signing_key(settings).public
    assert _checked_apart(before, public, tmp_path) == 0
    assert _checked_apart(after, public, tmp_path) == 0
    leaves = [e["leaf"] for e in after["entries"]]
    assert leaves[:-1] == [e["leaf"] for e in before["entries"]]
    assert leaves[-1]["kind"] == "erasure.person", "what was erased, and why, is proved with it"
    again = audit_erasure.erase_person(log, settings, "u1", reason="their request", actor="dpo", now=NOW)
    assert again.erased == {"audit_entry": 0} or not again.erased


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ops.inbox SET payload = '{}'",
        "UPDATE ops.audit_personal SET value = 'x'",
        "DELETE FROM ops.audit_personal",
        "TRUNCATE ops.audit_personal",
    ],
)
def test_nothing_can_be_erased_that_no_erasure_names(log: Engine, statement: str) -> None:
    """The narrow way for erasures would be a wide one for everybody."""
    with pytest.raises(IntegrityError), log.begin() as connection:
        connection.execute(text(statement))


def test_retention_erases_old_versions_and_says_so(log: Engine, settings: Settings) -> None:
    """Data would be kept beyond the time that the settings give, or go without an entry."""
    policies = settings.policies.model_copy(
        update={"retention": settings.policies.retention.model_copy(update={"payload_months": 1})}
    )
    settings = settings.model_copy(update={"policies": policies})
    assert audit_erasure.expire(log, settings, now=NOW + dt.timedelta(days=20)) == 0
    assert audit_erasure.expire(log, settings, now=NOW + dt.timedelta(days=40)) == 6
    audit_log.seal(log, settings, now=NOW)
    found = verified(log, settings).findings
    assert found.holds, found.problems


def test_every_change_of_the_settings_is_an_entry(log: Engine, settings: Settings) -> None:
    """Somebody raises the limit of what needs approval, posts, and puts it back."""
    path = settings.config_dir / "policies.yaml"
    path.write_text(path.read_text().replace("annual_hours: 1720", "annual_hours: 1600"))
    audit_log.seal(log, settings, now=NOW)
    audit_log.seal(log, settings, now=NOW)
    with log.connect() as connection:
        rows = connection.execute(
            text("SELECT detail FROM ops.audit_entry WHERE kind = 'settings.changed' ORDER BY id")
        )
        details = rows.scalars().all()
    assert [[change["key"] for change in d["changes"]] for d in details] == [[], ["cost_rates.annual_hours"]]
    path.write_text("{ half an edit")
    assert audit_log.seal(log, settings, now=NOW).added == {}


@pytest.mark.parametrize("missing", ["kind", "subject", "actor"])
def test_an_entry_says_what_whom_and_by_whom(store_engine: Engine, missing: str) -> None:
    """An entry that says nothing would count as one."""
    said = {"kind": "a.b", "subject": "s", "actor": "a", missing: " "}
    with pytest.raises(ValueError, match=missing), store_engine.begin() as connection:
        audit.record(connection, "acme", **said, detail={}, now=NOW)
