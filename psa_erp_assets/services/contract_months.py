"""Months of contracts that have effects of their own: fees, instalments, hours, revenue, or totals to hand on.

Each is an object with a head, like a fact, so that it becomes due, is planned and is traced by the same means.
"""

import datetime as dt
from collections.abc import Iterable

from sqlalchemy import Connection

from psa_erp_assets.adapters.store import work_heads
from psa_erp_assets.adapters.store.work_heads import Head
from psa_erp_assets.domain.account import needs_account, sellers_in
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decision import Route
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.records import ApprovalState, Contract
from psa_erp_assets.services.deciding import contract_month_id
from psa_erp_assets.services.scope import Scope


def refresh(connection: Connection, scope: Scope, master: MasterData, now: dt.datetime) -> int:
    """Make a head for each month that a contract has reached and has none of yet; answers with how many are new.

    From the first month that is synchronized, or the contract's first, to the present one or the contract's last; an
    instalment that is due outside of the term has a month as well. A month in which several entities sell has a head
    in the partition of each.
    """
    wanted = {
        contract_month_id(contract.id, month, seller): Route(seller, month, contract.id)
        for contract in master.contracts
        if needs_account(contract)
        for month in _months(contract, ServiceMonth.of(scope.first_day), ServiceMonth.of(now.date()))
        for seller in sellers_in(contract, month)
    }
    known = work_heads.heads(connection, scope.tenant)
    new = [
        Head(object_id=object_id, revision=1, state=ApprovalState.APPROVED.value, route=route)
        for object_id, route in wanted.items()
        if object_id not in known
    ]
    work_heads.put(connection, scope.tenant, new, now)
    return len(new)


def follow_up(
    connection: Connection,
    tenant: str,
    contract_ids: Iterable[str],
    month: ServiceMonth,
    *,
    master: MasterData,
    now: dt.datetime,
) -> None:
    """Make the contracts' next month due, with all who sell in it, because what this one leaves to it has changed."""
    following = month.next()
    routes = {
        contract_month_id(contract.id, following, seller): Route(seller, following, contract.id)
        for contract in map(master.contract, contract_ids)
        if contract is not None
        for seller in sellers_in(contract, following)
    }
    if not routes:
        return
    known = work_heads.heads(connection, tenant, list(routes))
    work_heads.mark_changed(connection, tenant, {i: route for i, route in routes.items() if i in known}, now)


def left_by(connection: Connection, tenant: str, before: Iterable[Route], master: MasterData) -> dict[str, Route]:
    """The contracts' months that work has left, given where it was before, with all who sell in them.

    Whoever moves it makes them due: they have less to settle, and may have something else to hand on, even where no
    work is left in them that could tell.
    """
    routes: dict[str, Route] = {}
    for where in set(before):
        contract_id, month = where.contract_id, where.service_month
        if contract_id is not None:
            contract = master.contract(contract_id)
            sellers = sellers_in(contract, month) if contract is not None else ()
            for seller in {where.legal_entity, *sellers}:
                routes[contract_month_id(contract_id, month, seller)] = Route(seller, month, contract_id)
    known = work_heads.heads(connection, tenant, list(routes)) if routes else {}
    return {object_id: route for object_id, route in routes.items() if object_id in known}


def _months(contract: Contract, first: ServiceMonth, present: ServiceMonth) -> list[ServiceMonth]:
    """The months of the term, and those up to an instalment that is due before or after it."""
    ends = [e for e in (contract.valid_to, *(a.valid_to for a in contract.amendments)) if e is not None]
    open_ended = contract.as_of(dt.date.max).valid_to is None
    agreed = [contract.terms, *(a.terms for a in contract.amendments if a.terms is not None)]
    due = [ServiceMonth.of(i.due) for terms in agreed for c in terms.components for i in c.instalments]
    last = present if open_ended or not ends else min(present, max([ServiceMonth.of(max(ends)), *due]))
    month, months = max(first, min([ServiceMonth.of(contract.valid_from), *due])), []
    while month <= last:
        months.append(month)
        month = month.next()
    return months
