"""A person is forgotten: from the PSA to the books nothing names them any more, and everything still adds up."""

import datetime as dt
import json
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import ARRAY, Connection, Text, and_, cast, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import JSONB

from psa_erp_assets.adapters import audit_notes
from psa_erp_assets.adapters.store import exceptions, master_records, schema
from psa_erp_assets.adapters.store.all_tables import metadata
from psa_erp_assets.adapters.store.audit_places import PLACES
from psa_erp_assets.adapters.store.exceptions import Sighting
from psa_erp_assets.adapters.store.schema_mappings import field_drift, mapping_decision, mapping_proposal
from psa_erp_assets.adapters.store.schema_notifications import notification
from psa_erp_assets.contracts.lake_tables import EMPLOYEES
from psa_erp_assets.domain.access import Actor, Grant, Role
from psa_erp_assets.domain.audit import Personal
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.records import Employee
from psa_erp_assets.domain.values import replace
from psa_erp_assets.sandbox.actors import Actors, actors_at
from psa_erp_assets.sandbox.company_model import DemoCompany
from psa_erp_assets.sandbox.serve import SandboxServer, running_sandbox
from psa_erp_assets.sandbox.tryton.build import Kind
from psa_erp_assets.services import audit, audit_erasure, audit_log, exception_work, frames
from psa_erp_assets.services.credits import request_credit
from psa_erp_assets.services.exception_work import Chosen, Work
from psa_erp_assets.services.runtime import Runtime
from psa_erp_assets.settings import REPOSITORY
from psa_erp_assets_tests.support.deliveries import record_delivery
from psa_erp_assets_tests.support.small_company import CONTRACTS, approved_entries, small_company
from psa_erp_assets_tests.support.sync import Company, Open
from psa_erp_assets_tests.support.tryton import MakeTryton

pytestmark = pytest.mark.tryton

LAST_NAME, WROTE = "Quellmarker", "met the Zyxwian delegation"
MARKS = (LAST_NAME.lower(), "zyxwian")
LATER = dt.datetime(2040, 1, 2, tzinfo=dt.UTC)
VERIFIER = REPOSITORY / "docs" / "verify_audit_proof.py"


def most_at_work(company: DemoCompany) -> str:
    """Whoever has recorded most for the American contract."""
    return Counter(e.user_id for e in approved_entries(company, CONTRACTS[0])).most_common(1)[0][0]


def marked_company() -> DemoCompany:
    """The small company, in which whoever recorded the first American entry is easily recognized."""
    company = small_company()
    user = most_at_work(company)
    [old] = [p.email for p in company.people if p.psa_id == user]
    new = f"{LAST_NAME}@northgate.example".lower()
    return replace(
        company,
        people=tuple(replace(p, last_name=LAST_NAME, email=new) if p.psa_id == user else p for p in company.people),
        projects=tuple(
            replace(p, staff={new if email == old else email: rate for email, rate in p.staff.items()})
            for p in company.projects
        ),
        entries=tuple(
            replace(e, description=f"{WROTE} {number}") if e.user_id == user else e
            for number, e in enumerate(company.entries)
        ),
    )


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with running_sandbox(marked_company()) as server:
        yield server


@pytest.fixture(scope="module")
def people(sandbox: SandboxServer) -> Iterator[Actors]:
    with actors_at(sandbox) as actors:
        yield actors


@dataclass(frozen=True)
class Story:
    """A company with a person in all of its tables: their id in the PSA and an entry of theirs that was invoiced."""

    company: Company
    person: str
    entry: str

    @property
    def runtime(self) -> Runtime:
        return self.company.runtime


def actor(name: str) -> Actor:
    return Actor(id=name, name=name, grants=frozenset({Grant(Role.OPERATOR), Grant(Role.APPROVER)}))


@pytest.fixture(scope="module")
def story(sandbox: SandboxServer, people: Actors, make_tryton: MakeTryton, open_company: Open) -> Story:
    company = open_company(sandbox, make_tryton(Kind.COMPANION))
    mine = approved_entries(sandbox.company, CONTRACTS[0])
    person = most_at_work(sandbox.company)
    entry, edited = [e.id for e in mine if e.user_id == person][:2]
    company.sync()
    company.invoice()
    company.reconciled()
    people.edit_entry(edited, minutes=50)
    people.record_expense(
        person, mine[0].project_id, dt.date(2026, 9, 15), "Travel", Decimal(20), notes=f"Receipt USD 20.00; {WROTE}"
    )
    company.sync()
    object_id = f"time_entry:clockify:{entry}"
    runtime, tenant = company.runtime, company.runtime.settings.tenant
    request_credit(
        runtime.engine,
        runtime.scope,
        entry,
        minutes=5,
        rebill=True,
        in_erp=False,
        reason=f"{LAST_NAME} was at the wrong customer",
        requested_by="ada",
        now=runtime.clock(),
    )
    company.sync()
    trouble = Sighting(
        code="no_bill_rate",
        object_id=object_id,
        detail=f"{LAST_NAME} has no rate",
        evidence={"holds": ["billing_line"]},
        minutes=5,
    )
    with runtime.engine.begin() as connection:
        exceptions.open_or_touch(connection, tenant, "plan", [trouble], runtime.clock())
        [item] = connection.execute(
            select(schema.exception_item.c.id).where(
                schema.exception_item.c.tenant == tenant, schema.exception_item.c.object_id == object_id
            )
        ).scalars()
    work = Work(runtime.engine, runtime.scope, actor("ada"), runtime.clock())
    exception_work.note(work, Chosen((item,)), f"asked, who {WROTE}")
    asked = exception_work.ask_write_off(work, Chosen((item,)), f"because of {LAST_NAME}")
    assert asked.request is not None
    other = Work(runtime.engine, runtime.scope, actor("bob"), runtime.clock())
    exception_work.decide(other, asked.request, approve=True, note=f"as {LAST_NAME} says")
    company.sync()
    with runtime.engine.begin() as connection:
        by_hand(connection, tenant, person, object_id, runtime.clock())
        employees = master_records.load_all(connection, tenant=tenant, object_type="employee", record_type=Employee)
    runtime.lake.replace_partition(EMPLOYEES, frames.master_data(employees, EMPLOYEES))
    return Story(company, person, entry)


def by_hand(connection: Connection, tenant: str, person: str, object_id: str, now: dt.datetime) -> None:
    """What would take other systems or many months to come about."""
    full = (
        connection.execute(
            select(schema.master_record.c.body["name"].astext).where(
                schema.master_record.c.tenant == tenant,
                schema.master_record.c.object_type == "psa_user",
                schema.master_record.c.body["psa_id"].astext == person,
            )
        )
        .scalars()
        .first()
    )
    assert full is not None
    body = {"id": "1", "userId": person, "description": WROTE, "user": {"id": person, "name": full}}
    record_delivery(
        connection, tenant=tenant, source="clockify", delivery_id="d", event="NEW_TIME_ENTRY",
        body=json.dumps(body), now=now,
    )  # fmt: skip
    at = {"tenant": tenant}
    connection.execute(
        insert(schema.period_choice).values(
            **at, object_id=object_id, effect_type="cost_transaction", choice="wait", reason=f"{full} is ill",
            chosen_by="ada", chosen_at=now,
        )
    )  # fmt: skip
    pair = {"object_type": "employee", "system": "clockify"}
    connection.execute(
        insert(mapping_proposal).values(
            **at, **pair, source_id=person, source_name=full, canonical_id="E-9", canonical_name=full, method="fuzzy",
            score="0.9", evidence=[f"the same name: {full!r}"], state="rejected", proposed_by="psa-erp",
            proposed_at=now, why=f"{full} is another",
        )
    )  # fmt: skip
    connection.execute(
        insert(mapping_decision).values(
            **at, **pair, kind="reject", source_ids=[person], reason=f"not {full}", before={"was": full},
            decided_by="bob", decided_at=now,
        )
    )  # fmt: skip
    connection.execute(
        insert(field_drift).values(
            **at, entity="employee", canonical_id=_number(connection, tenant, person), field="name",
            owner_system="bamboohr", owner_value=full, other_system="clockify", other_id=person,
            other_value=LAST_NAME, on_change="ignore", first_seen_at=now, last_seen_at=now, resolved_at=now,
        )
    )  # fmt: skip
    connection.execute(
        insert(notification).values(
            **at, route="r", channel="email", target="ops@example.com", number="1", events=1,
            body={"text": f"about {full}"}, created_at=now, next_attempt_at=now, sent_at=now,
        )
    )  # fmt: skip
    theirs = and_(schema.posting.c.tenant == tenant, schema.posting.c.object_id == object_id)
    connection.execute(update(schema.posting).where(theirs).values(fault_detail=f"no tax for {full}"))
    [plan] = connection.execute(select(func.max(schema.plan.c.id)).where(schema.plan.c.tenant == tenant)).scalars()
    connection.execute(
        update(schema.plan)
        .where(schema.plan.c.id == plan)
        .values(reviewed_by="bob", reviewed_at=now, review_note=f"{full} agrees")
    )
    said = {"mail": Personal(f"{LAST_NAME}@northgate.example", person), "plain": f"for {full}"}
    audit.record(connection, tenant, kind="note.kept", subject="x", actor="ada", detail=said, now=now)
    [key] = connection.execute(select(schema.posting.c.key).where(theirs).limit(1)).scalars()
    connection.execute(
        insert(schema.posting_event).values(
            key=key, event="look_up_failed", from_state="verified", to_state="verified", fence=0, worker="w",
            detail={"answer": f"{full} unknown"}, at=now,
        )
    )  # fmt: skip
    [decision] = connection.execute(
        select(schema.decision)
        .where(schema.decision.c.tenant == tenant, schema.decision.c.object_id == object_id)
        .order_by(schema.decision.c.id.desc())
        .limit(1)
    ).mappings()
    said_of = {**decision["body"], "reasons": [f"{full} is not on the rate card"]}
    connection.execute(
        insert(schema.decision).values(
            **{name: decision[name] for name in ("tenant", "object_id", "revision", "outcome", "content_hash")},
            body=said_of,
            decided_at=decision["decided_at"] - dt.timedelta(days=1),
        )
    )


def _number(connection: Connection, tenant: str, person: str) -> str:
    table = schema.master_record.c
    query = select(table.canonical_id).where(
        table.tenant == tenant, table.object_type == "employee", table.body["psa_user_id"].astext == person
    )
    return str(connection.execute(query.limit(1)).scalar_one())


def where_marked(connection: Connection) -> dict[str, set[str]]:
    """The columns of every table of the store, whatever it is for, in which the person can be recognized."""
    found = defaultdict[str, set[str]](set)
    for table in metadata.sorted_tables:
        for column in table.columns:
            if not isinstance(column.type, Text | JSONB | ARRAY):
                continue
            said = func.lower(cast(column, Text))
            hit = connection.execute(
                select(func.count()).select_from(table).where(said.like(f"%{MARKS[0]}%") | said.like(f"%{MARKS[1]}%"))
            ).scalar_one()
            if hit:
                found[table.name].add(column.name)
    return found


def ledger(connection: Connection) -> list[Any]:
    """Whatever of the ledger is no text: what must be the same afterwards."""
    table = schema.posting.c
    names = ("key", "state", "amount", "currency", "minutes", "service_date", "object_id", "erp_id", "plan_id")
    return [tuple(row) for row in connection.execute(select(*(table[n] for n in names)).order_by(table.key))]


def test_before_the_years_are_over_the_books_keep_what_they_rest_on(story: Story) -> None:
    """What invoices were made of would go while the law wants it, or nobody would know from when on it may."""
    runtime = story.runtime
    with runtime.engine.connect() as connection:
        books = ledger(connection)
    report = audit_erasure.erase_person(
        runtime.engine, runtime.settings, story.person, reason="their wish", actor="dpo", now=runtime.clock()
    )
    assert report.erased["inbox"] >= 1, "the version that was edited"
    assert report.kept_until == dt.date(2037, 1, 1)
    assert report.kept["posting"] > 0
    assert report.in_lake == {}
    with runtime.engine.connect() as connection:
        assert ledger(connection) == books
    assert audit_log.verify(runtime.engine, runtime.settings, now=runtime.clock()).findings.holds
    assert set(story.company.sync()) <= {"hold"}


def test_a_person_is_forgotten_everywhere_and_the_books_and_the_log_stay(story: Story, tmp_path: Path) -> None:
    """A name would stay somewhere, or its erasure would make the sync correct the books or the log fail."""
    runtime, settings = story.runtime, story.runtime.settings
    audit_log.seal(runtime.engine, settings, now=runtime.clock())
    subject = f"time_entry:clockify:{story.entry}"
    with runtime.engine.connect() as connection:
        marked, books = where_marked(connection), ledger(connection)
        old = audit_log.prove(connection, settings, subject)
    not_seeded = {"error", "cause", "resolution", "result", "evidence"}
    expected = {(p.name, column) for p in PLACES for column in p.columns if column not in not_seeded}
    expected -= {("plan_item", "reason")}
    # Nothing was booked by hand, and a plan's items give codes as their reasons.
    expected -= {("booked_by_hand", "effects")}
    assert expected <= {(table, column) for table, columns in marked.items() for column in columns}
    [before] = [s.id for s in runtime.lake.snapshots()][-1:]
    report = audit_erasure.erase_person(
        runtime.engine, settings, story.person, reason="their wish", actor="dpo", now=LATER, lake=runtime.lake
    )
    assert (report.kept, report.kept_until, report.unsettled) == ({}, None, 0)
    with runtime.engine.connect() as connection:
        assert where_marked(connection) == {}
        assert ledger(connection) == books
        new = audit_log.prove(connection, settings, subject)
    found = audit_log.verify(runtime.engine, settings, now=LATER).findings
    assert found.holds, found.problems[:5]
    public = audit_log.signing_key(settings).public
    for number, proof in enumerate((old, new)):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(proof), encoding="utf-8")
        assert not any(mark in path.read_text().lower() for mark in MARKS[:1]) or number == 0
        done = subprocess.run([sys.executable, "-I", str(VERIFIER), str(path), public], check=False)
        assert done.returncode == 0
    assert report.in_lake == {"employees": 1}
    assert report.lake_states_kept
    names = "SELECT string_agg(name, ',') AS names FROM employees"
    assert LAST_NAME not in runtime.lake.query(names).to_pylist()[0]["names"]
    assert LAST_NAME in runtime.lake.query(names, as_of=before).to_pylist()[0]["names"], "as the docs say"
    again = audit_erasure.erase_person(
        runtime.engine, settings, story.person, reason="their wish", actor="dpo", now=LATER, lake=runtime.lake
    )
    assert (again.erased, again.in_lake) == ({}, {})


def test_what_is_erased_neither_comes_back_nor_is_corrected(story: Story) -> None:
    """The next reading would bring the name back, or take back every line whose text is another now."""
    lines = story.company.books(EffectType.BILLING_LINE)
    assert set(story.company.sync()) <= {"hold"}
    assert story.company.books(EffectType.BILLING_LINE) == lines
    with story.runtime.engine.connect() as connection:
        assert where_marked(connection) == {}


def test_whoever_changes_what_an_erasure_left_is_found_out(story: Story) -> None:
    """An erasure would be the way to change a posting's amount or a reason unseen."""
    runtime, settings = story.runtime, story.runtime.settings
    for statement in (
        "UPDATE ops.posting SET amount = amount + 1 WHERE object_id = :object",
        "UPDATE ops.decision SET body = body || '{\"minutes\": 1}' WHERE object_id = :object",
        "UPDATE ops.credit SET reason = 'something else' WHERE object_id = :object",
        "UPDATE ops.exception_request SET reason = 'something else'",
        "UPDATE ops.plan_item SET amount = amount + 1 WHERE object_id = :object",
        "UPDATE ops.audit_erasure SET replacement = '{\"says\": \"x\"}' WHERE source = 'leaf:decision'",
        "DELETE FROM ops.audit_erasure WHERE source = 'leaf:posting_event'",
    ):
        with runtime.engine.connect() as connection, connection.begin() as transaction:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            connection.execute(text(statement), {"object": f"time_entry:clockify:{story.entry}"})
            outside = audit_notes.read(audit_log.folder(settings), audit_log.signing_key(settings).public)
            assert not audit_log.findings(connection, settings, outside).findings.holds, statement
            transaction.rollback()
