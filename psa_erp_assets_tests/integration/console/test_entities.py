"""Whoever has a role for one legal entity sees nothing of another one: on every page and call, from the route table."""

import datetime as dt
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import unquote

import httpx
import pytest
from sqlalchemy import Connection, Engine, insert, select

from psa_erp_assets.adapters.postgres import ServerInfo
from psa_erp_assets.adapters.store import connection_states, exceptions, master_records, schema
from psa_erp_assets.adapters.store.connection_states import ConnectionState
from psa_erp_assets.adapters.store.schema import mapping
from psa_erp_assets.adapters.store.schema_audit import audit_leaf
from psa_erp_assets.adapters.store.schema_mappings import field_drift, mapping_decision, mapping_proposal
from psa_erp_assets.domain.access import Grant, Permission, Role, carried
from psa_erp_assets.domain.values import replace
from psa_erp_assets.services import audit_log
from psa_erp_assets.settings import Settings, load_settings
from psa_erp_assets_tests.integration.console.test_access_rules import CALLS, Call
from psa_erp_assets_tests.support.access import NOW, add_account, add_token
from psa_erp_assets_tests.support.console import TENANT, make_app, served, store
from psa_erp_assets_tests.support.facts import CONTRACT, CUSTOMER, EMPLOYEE, PROJECT, UK

MARK = "Foreignmark"
FOREIGN_KEY = "f0" * 16
FOREIGN_ENTRY = "time_entry:clockify:foreign1"
MARKS = (MARK, FOREIGN_KEY, FOREIGN_ENTRY, "EMP-F", "CUS-F", "PRJ-F", "CTR-F")
READING = [
    c
    for c in CALLS
    if c.method == "GET"
    and c.rule is not None
    # Figures about the sync itself are those of the whole group: docs/access.md.
    and c.rule.permission not in (None, Permission.MONITOR)
]
# Lists in which an unlimited reader must find the mark, or the test would look for something that is nowhere.
SHOWN = (
    "/api/v1/mappings", "/api/v1/mappings/proposals", "/api/v1/mappings/drift", "/api/v1/mappings/decisions",
    "/mappings", "/connections", "/api/v1/connections", "/audit", "/api/v1/audit", "/postings", "/api/postings",
    "/exceptions", "/api/v1/exceptions", "/api/v1/exceptions/export.csv", "/api/v1/exceptions/export.json",
)  # fmt: skip


def foreign(connection: Connection) -> dict[str, str]:
    """Something of everything of the other legal entity; the values for parts of an address."""
    at = {"tenant": TENANT}
    number: dict[str, str] = {}
    pair = {"object_type": "employee", "system": "clockify"}
    number["proposal_id"] = str(
        connection.execute(
            insert(mapping_proposal)
            .values(
                **at, **pair, source_id="uf", source_name=MARK, canonical_id="EMP-F", canonical_name=MARK,
                method="fuzzy", score="0.9", evidence=[MARK], state="proposed", proposed_by="psa-erp", proposed_at=NOW,
            )
            .returning(mapping_proposal.c.id)
        ).scalar_one()
    )  # fmt: skip
    connection.execute(
        insert(mapping).values(
            **at, **pair, canonical_id="EMP-F", source_id=f"uf-{MARK}", valid_from=dt.date(2026, 9, 1),
            method="email", decided_at=NOW,
        )
    )  # fmt: skip
    connection.execute(
        insert(mapping_decision).values(
            **at, **pair, kind="reject", source_ids=["uf"], canonical_id="EMP-F", reason=MARK, before={},
            decided_by="sam", decided_at=NOW,
        )
    )  # fmt: skip
    connection.execute(
        insert(field_drift).values(
            **at, entity="employee", canonical_id="EMP-F", field="name", owner_system="bamboohr", owner_value=MARK,
            other_system="clockify", other_id="uf", other_value="x", on_change="ignore", first_seen_at=NOW,
            last_seen_at=NOW,
        )
    )  # fmt: skip
    number["plan_id"] = str(
        connection.execute(
            insert(schema.plan)
            .values(
                **at, legal_entity="DE", service_month="2026-09", status="applied", facts_hash="f", applied_at=NOW,
                created_by=MARK, created_at=NOW, approval_reasons=[MARK], reviewed_by=MARK, reviewed_at=NOW,
            )
            .returning(schema.plan.c.id)
        ).scalar_one()
    )  # fmt: skip
    connection.execute(
        insert(schema.work_head).values(
            **at, object_id=FOREIGN_ENTRY, revision=1, state="approved", legal_entity="DE", service_month="2026-09",
            contract_id="CTR-F", changed_at=NOW,
        )
    )  # fmt: skip
    connection.execute(
        insert(schema.decision).values(
            **at, object_id=FOREIGN_ENTRY, revision=1, outcome="hold", content_hash="h", decided_at=NOW,
            body={"holds": [], "reasons": [MARK]},
        )
    )  # fmt: skip
    connection.execute(
        insert(schema.posting).values(
            **at, key=FOREIGN_KEY, legal_entity="DE", service_month="2026-09", erp_company=f"co-{MARK}",
            effect_type="billing_line", operation="create", leg="original", object_id=FOREIGN_ENTRY, revision=1,
            source_revision=1, payload={"description": MARK}, payload_hash="h", amount="1.00", currency="EUR",
            minutes=1, service_date=dt.date(2026, 9, 1), plan_id=int(number["plan_id"]), created_at=NOW,
            state="ambiguous", due_at=NOW, state_since=NOW, fault_detail=MARK,
        )
    )  # fmt: skip
    connection.execute(
        insert(schema.posting_event).values(
            key=FOREIGN_KEY, event="added", from_state=None, to_state="planned", fence=0, worker=MARK, detail={},
            at=NOW,
        )
    )  # fmt: skip
    trouble = exceptions.Sighting(
        code="no_bill_rate", object_id=FOREIGN_ENTRY, detail=MARK, legal_entity="DE", service_month="2026-09"
    )
    exceptions.open_or_touch(connection, TENANT, "plan:DE:2026-09", [trouble], NOW)
    number["item_id"] = str(connection.execute(select(schema.exception_item.c.id)).scalars().one())
    connection_states.put(
        connection, TENANT, [ConnectionState(name=f"erp:co-{MARK}", circuit="closed")], by="w", now=NOW
    )
    return number


def keep_records(connection: Connection) -> None:
    """The small company, and everything of it once more in Germany."""
    pairs: Sequence[tuple[str, Sequence[tuple[str, object]]]] = (
        ("legal_entity", [("UK", UK), ("DE", replace(UK, code="DE", name=MARK, erp_company=f"co-{MARK}"))]),
        ("customer", [("CUS-0001", CUSTOMER), ("CUS-F", replace(CUSTOMER, id="CUS-F", name=MARK, crm_id="f"))]),
        (
            "contract",
            [
                (CONTRACT.id, CONTRACT),
                ("CTR-F", replace(CONTRACT, id="CTR-F", name=MARK, customer_id="CUS-F", legal_entity="DE")),
            ],
        ),
        (
            "project",
            [
                (PROJECT.id, PROJECT),
                ("PRJ-F", replace(PROJECT, id="PRJ-F", code="PRJ-F", name=MARK, psa_id="pf", contract_id="CTR-F")),
            ],
        ),
        (
            "employee",
            [
                (EMPLOYEE.id, EMPLOYEE),
                ("EMP-F", replace(EMPLOYEE, id="EMP-F", name=MARK, psa_user_id="uf", legal_entity="DE")),
            ],
        ),
    )
    for object_type, records in pairs:
        master_records.replace_all(
            connection, tenant=TENANT, object_type=object_type, source="test", records=records, now=NOW
        )


@pytest.fixture(scope="module")
def engine(postgres_server: ServerInfo, _migrated_template: str) -> Iterator[Engine]:
    with store(postgres_server, _migrated_template) as opened:
        with opened.begin() as connection:
            keep_records(connection)
        yield opened


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of the console's tenant, with a folder for checkpoints."""
    loaded = load_settings({"PSA_ERP_HOME": str(tmp_path_factory.mktemp("home"))})
    return loaded.model_copy(update={"company": loaded.company.model_copy(update={"tenant": TENANT})})


@pytest.fixture(scope="module")
def parts(engine: Engine, settings: Settings) -> Mapping[str, str]:
    """What stands for the parts of an address, and entries of the log about all of it."""
    with engine.begin() as connection:
        found = foreign(connection)
    audit_log.seal(engine, settings, now=NOW)
    ids = {"key": FOREIGN_KEY, "entry_id": FOREIGN_ENTRY, "object_id": FOREIGN_ENTRY, "contract_id": "CTR-F"}
    return found | ids | {"company": f"co-{MARK}", "group": "no_bill_rate/" + MARK}


@pytest.fixture(scope="module")
def address(engine: Engine, settings: Settings, parts: Mapping[str, str]) -> Iterator[str]:
    assert parts
    app = make_app(
        engine,
        gate=None,
        clock=lambda: NOW,
        prove=lambda connection, wanted: audit_log.prove(connection, settings, wanted),
    )
    with served(app) as started:
        yield started


@pytest.fixture(scope="module")
def tokens(engine: Engine) -> Mapping[tuple[Role, str | None], str]:
    """A token of somebody with each role, for all legal entities and for one alone."""
    found = {}
    for role, entity in itertools.product(Role, (None, "UK")):
        if role is Role.ADMIN and entity is not None:
            continue
        login = f"{role.value}-{entity or 'all'}".lower()
        add_account(engine, login, [Grant(role, entity)])
        found[role, entity] = add_token(engine, login)
    return found


def ask(address: str, call: Call, parts: Mapping[str, str], token: str) -> httpx.Response:
    path = re.sub(r"\{([a-z_]+)[^}]*\}", lambda found: parts.get(found[1], "1"), call.path)
    query = {"wanted": FOREIGN_KEY, "group": parts["group"]} if "proof" in path or path.endswith("/items") else {}
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{address}{path}", params=query, headers=headers, timeout=60)


def role_for(call: Call, entity: str | None) -> Role | None:
    """A role that may, as far as there is one for a legal entity alone."""
    assert call.rule is not None
    permission = call.rule.permission
    roles = [role for role in Role if permission in carried(role) and not (entity and role is Role.ADMIN)]
    return roles[0] if roles else None


@pytest.mark.parametrize("call", READING, ids=str)
def test_nothing_of_another_legal_entity_is_shown(
    address: str, tokens: Mapping[tuple[Role, str | None], str], parts: Mapping[str, str], call: Call
) -> None:
    """Somebody who may see the British books reads the German ones: by a list, an export, or an id that they know."""
    role = role_for(call, "UK")
    if role is None:
        return
    answer = ask(address, call, parts, tokens[role, "UK"])
    assert answer.status_code < 500, answer.text
    # What they asked for themselves may be said back.
    told, asked = answer.text, unquote(str(answer.request.url))
    for value in parts.values():
        told = told.replace(value, "") if value in asked and len(value) > 3 else told
    assert [mark for mark in MARKS if mark in told] == []


@pytest.mark.parametrize("path", SHOWN)
def test_whoever_may_see_all_does(
    address: str, tokens: Mapping[tuple[Role, str | None], str], parts: Mapping[str, str], path: str
) -> None:
    """The test above would look for what is shown to nobody."""
    [call] = [c for c in READING if c.path == path]
    role = role_for(call, None)
    assert role is not None
    shown = FOREIGN_KEY if path.endswith(("/audit", "/postings")) else MARK
    assert shown in ask(address, call, parts, tokens[role, None]).text


def test_a_steward_of_one_entity_decides_nothing_about_another(
    address: str, tokens: Mapping[tuple[Role, str | None], str], parts: Mapping[str, str]
) -> None:
    """Somebody takes over the people or contracts of an entity that is none of their business."""
    headers = {"Authorization": f"Bearer {tokens[Role.STEWARD, 'UK']}"}
    change = {"object_type": "employee", "valid_from": "2026-10-01", "reason": "x"}
    with httpx.Client(base_url=f"{address}/api/v1/mappings", headers=headers, timeout=60) as client:
        for path, body in (
            (f"/proposals/{parts['proposal_id']}/accept", {"valid_from": "2026-10-01", "reason": "x"}),
            (f"/proposals/{parts['proposal_id']}/reject", {"reason": "x"}),
            (
                "/proposals",
                {"object_type": "employee", "system": "clockify", "source_id": "u1", "canonical_id": "EMP-F"},
            ),
            ("/split", {**change, "system": "clockify", "source_ids": [f"uf-{MARK}"], "canonical_id": EMPLOYEE.id}),
            ("/split", {**change, "system": "clockify", "source_ids": ["u1"], "canonical_id": "EMP-F"}),
            ("/merge", {**change, "source_ids": ["EMP-F"], "canonical_id": EMPLOYEE.id}),
            ("/decisions/1/undo", {"reason": "x"}),
        ):
            assert client.post(path, json=body).status_code == 403, path


def test_an_auditor_of_one_entity_proves_its_entries_alone(
    address: str, engine: Engine, tokens: Mapping[tuple[Role, str | None], str]
) -> None:
    """A proof shows the whole document of an entry."""
    with engine.connect() as connection:
        [seq] = connection.execute(select(audit_leaf.c.seq).where(audit_leaf.c.subject == FOREIGN_KEY)).scalars()
    for wanted in (FOREIGN_KEY, str(seq), FOREIGN_ENTRY, "1"):
        for role, entity, status in ((Role.AUDITOR, "UK", 403), (Role.AUDITOR, None, 200)):
            headers = {"Authorization": f"Bearer {tokens[role, entity]}"}
            answer = httpx.get(f"{address}/api/v1/audit/proof", params={"wanted": wanted}, headers=headers, timeout=60)
            assert answer.status_code == status, wanted
