"""From changed master data to the work that it touches."""

import datetime as dt

from sqlalchemy import Connection

from psa_erp_assets.adapters.store import decisions, exceptions, master_records, work_heads
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decide import Decider
from psa_erp_assets.domain.decision import Route
from psa_erp_assets.services import canonical, contract_months
from psa_erp_assets.services.deciding import decide_partition, has_changed, head_of
from psa_erp_assets.services.scope import Scope


def mark_touched(connection: Connection, scope: Scope, now: dt.datetime) -> int:
    """Make dirty everything about which master data now lead to another decision; answers with how much that is.

    The decision itself is what is compared, so that a changed record touches just the work that depends on it,
    whichever way it does. A closed period changes no decision, only when it can be carried out: what waits for one
    is touched when periods have changed.
    """
    tenant = scope.tenant
    decider = Decider(canonical.load_master(connection, scope), scope.rules)
    canonical.note_unreadable(connection, scope, now)
    contract_months.refresh(connection, scope, decider.master, now)
    heads = work_heads.heads(connection, tenant)
    known = decisions.latest_hashes(connection, tenant)
    waiting = _waiting_for_a_period(connection, tenant)
    touched: dict[str, Route] = {}
    left: list[Route] = []
    for partition in work_heads.partitions(connection, tenant):
        decided = decide_partition(connection, scope, partition, decider=decider)
        for decision in decided.decisions:
            object_id = head_of(decision)
            if object_id not in heads:
                continue
            head = heads[object_id]
            moved = (decision.route.legal_entity, decision.route.contract_id) != (head.legal_entity, head.contract_id)
            if moved or has_changed(decision, known) or decision.object_id in waiting:
                touched[object_id] = decision.route
            if moved:
                left.append(Route(head.legal_entity, ServiceMonth.parse(head.service_month), head.contract_id))
    touched |= contract_months.left_by(connection, tenant, left, decider.master)
    work_heads.mark_changed(connection, tenant, touched, now)
    return len(touched)


def _waiting_for_a_period(connection: Connection, tenant: str) -> set[str]:
    """The objects that a closed period has stopped, if accounting periods have changed since that was last seen."""
    changed_at = master_records.changed_at(connection, tenant=tenant, object_type="accounting_period")
    items = exceptions.list_items(connection, tenant, code="period_closed")
    return {item["object_id"] for item in items if changed_at is not None and item["last_seen_at"] < changed_at}
