"""Drift between systems, and changes of the settings, as the store keeps them."""

import datetime as dt
import shutil
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from psa_erp_assets.adapters.store import exceptions
from psa_erp_assets.adapters.store.schema_audit import audit_entry
from psa_erp_assets.domain.ownership import FieldOwner, Governance, OnChange
from psa_erp_assets.domain.values import replace
from psa_erp_assets.services import mapping_upkeep, ownership, settings_versions
from psa_erp_assets.services.settings_versions import KeyChange
from psa_erp_assets.settings import REPOSITORY, Settings, load_settings
from psa_erp_assets_tests.support import mappings
from psa_erp_assets_tests.support.facts import TENANT
from psa_erp_assets_tests.support.store import NOW, SCOPE

LATER = NOW + dt.timedelta(hours=1)


def rules(on_change: OnChange) -> Governance:
    fields = (("customer", "name", "crm"), ("customer", "country", "crm"), ("employee", "email", "hr"))
    return Governance(owners=tuple(FieldOwner(entity=e, field=f, system=s, on_change=on_change) for e, f, s in fields))


def look(engine: Engine, on_change: OnChange, now: dt.datetime = NOW) -> None:
    with engine.begin() as connection:
        mapping_upkeep.upkeep(connection, replace(SCOPE, governance=rules(on_change)), now)


def report(engine: Engine) -> set[tuple[str, str, str | None, str | None]]:
    with engine.connect() as connection:
        found = ownership.drift_report(connection, SCOPE)
    return {(d.canonical_id, d.field, d.owner_value, d.other_value) for d in found}


def items(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return {row["object_id"] for row in exceptions.list_items(connection, TENANT, code="field_drift")}


PARTIES = [{"id": "70", "code": "CUS-0001", "name": "Kestrel Ltd", "countries": ["FR"], "active": True}]


@pytest.mark.parametrize("on_change", list(OnChange))
def test_a_drift_shows_both_values_and_ends_by_itself(clean_store: Engine, on_change: OnChange) -> None:
    """Two systems would say different things for years, or the list would keep what has been put right."""
    mappings.open_store(clean_store)
    mappings.read(clean_store, parties=PARTIES, staff={"1": "ada.jones@example.com"}, now=LATER)
    look(clean_store, on_change, LATER)
    assert report(clean_store) == {
        ("CUS-0001", "name", "Kestrel", "Kestrel Ltd"),
        ("CUS-0001", "country", "GB", "FR"),
        ("EMP-0001", "email", "ada.jones@example.com", "ada@example.com"),
    }
    assert len(items(clean_store)) == (0 if on_change is OnChange.IGNORE else 3)
    mappings.read(clean_store, now=LATER + dt.timedelta(hours=1))
    look(clean_store, on_change, LATER + dt.timedelta(hours=1))
    assert (report(clean_store), items(clean_store)) == (set(), set())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    shutil.copytree(REPOSITORY / "data" / "config", tmp_path / "config")
    return load_settings({"PSA_ERP_HOME": str(tmp_path), "PSA_ERP_CONFIG": str(tmp_path / "config")})


def test_a_change_of_the_settings_is_kept_with_its_keys_and_audited(clean_store: Engine, settings: Settings) -> None:
    """Nobody could tell which rules a plan of last month was made by, or who changed them when."""
    assert settings_versions.note_settings(clean_store, settings, now=NOW) == []
    assert settings_versions.note_settings(clean_store, settings, now=LATER) is None
    policies = settings.config_dir / "policies.yaml"
    policies.write_text(policies.read_text(encoding="utf-8").replace("batch_size: 200", "batch_size: 100"), "utf-8")
    changed = settings_versions.note_settings(clean_store, settings, now=LATER)
    expected = KeyChange(file="policies.yaml", key="posting.batch_size", before="200", after="100")
    assert changed == [expected]
    with clean_store.connect() as connection:
        versions = settings_versions.settings_changes(connection, settings.tenant)
        kinds = list(connection.execute(select(audit_entry.c.kind)).scalars())
    assert [list(v.changes) for v in versions] == [[expected], []]
    assert kinds == ["settings.changed"] * 2


def test_a_comment_is_no_change(clean_store: Engine, settings: Settings) -> None:
    """The list would be full of what changes nothing."""
    settings_versions.note_settings(clean_store, settings, now=NOW)
    company = settings.config_dir / "company.yaml"
    company.write_text("# another comment\n" + company.read_text(encoding="utf-8"), "utf-8")
    assert settings_versions.note_settings(clean_store, settings, now=LATER) is None
