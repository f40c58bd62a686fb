"""The small company of `support.facts` in a real store, and its entries as the PSA would send them."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine

from psa_erp_assets.adapters.store import master_records
from psa_erp_assets.adapters.store.inbox import Payload
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.services import revisions
from psa_erp_assets.services.revisions import Received
from psa_erp_assets.services.scope import Scope
from psa_erp_assets_tests.support.facts import DAY, FIRST, RULES, TENANT, make_master

SCOPE = Scope(tenant=TENANT, rules=RULES, first_day=FIRST)
NOW = dt.datetime(2026, 10, 5, 12, tzinfo=dt.UTC)

_ID_OF = {
    "legal_entity": "code",
    "customer": "id",
    "contract": "id",
    "project": "id",
    "employee": "id",
    "bill_rate": "id",
    "cost_rate": "id",
    "fx_rate": "id",
    "tax_profile": "id",
}
_KINDS = {"legal_entity": "legal_entities"} | {kind: f"{kind}s" for kind in _ID_OF if kind != "legal_entity"}


def keep_master(engine: Engine, master: MasterData | None = None, now: dt.datetime = NOW) -> None:
    """Make this the current master data."""
    master = master or make_master()
    with engine.begin() as connection:
        for object_type, id_name in _ID_OF.items():
            _keep(
                connection, object_type, [(getattr(r, id_name), r) for r in getattr(master, _KINDS[object_type])], now
            )


def _keep(connection: Connection, object_type: str, records: Sequence[tuple[str, Any]], now: dt.datetime) -> None:
    master_records.replace_all(
        connection, tenant=TENANT, object_type=object_type, source="test", records=records, now=now
    )


def psa_payload(
    entry_id: str = "e1",
    minutes: int = 50,
    *,
    state: str | None = "APPROVED",
    day: dt.date = DAY,
    user_id: str = "u1",
    project_id: str | None = "p1",
    deleted: bool = False,
    **changes: Any,
) -> Payload:
    """An entry as it is kept in the inbox: work from 14:00 UTC on, of whoever is in New York."""
    start = dt.datetime.combine(day, dt.time(14), dt.UTC)
    approval = {"request_id": f"r-{entry_id}", "state": state, "updated_at": "2026-10-01T00:00:00Z"}
    body = {
        "id": entry_id,
        "user_id": user_id,
        "time_zone": "America/New_York",
        "deleted": deleted,
        "approval": approval if state else None,
        "entry": {
            "id": entry_id,
            "userId": user_id,
            "projectId": project_id,
            "taskId": None,
            "task": None,
            "tags": [],
            "type": "REGULAR",
            "billable": True,
            "description": "workshop",
            "timeInterval": {
                "start": start.isoformat(),
                "end": (start + dt.timedelta(minutes=minutes)).isoformat(),
            },
        }
        | changes,
    }
    return Payload(object_id=entry_id, body=body)


def receive(engine: Engine, *payloads: Payload, now: dt.datetime = NOW) -> Received:
    """Let the payloads arrive."""
    with engine.begin() as connection:
        return revisions.receive(
            connection, revisions.TIME_ENTRIES, scope=SCOPE, payloads=payloads, arrived_by="sweep", now=now
        )
