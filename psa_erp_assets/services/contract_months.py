"""Months of contracts that have effects of their own: fees, instalments, hours, revenue, or totals to hand on.

Each is an object with a head, like a fact, so that it becomes due, is planned and is traced by the same means.
"""

import datetime as dt

from sqlalchemy import Connection

from psa_erp_assets.adapters.store import work_heads
from psa_erp_assets.adapters.store.work_heads import Head
from psa_erp_assets.domain.account import ContractMonth, needs_account, sellers_in
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decision import Route
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.records import ApprovalState, Contract
from psa_erp_assets.services.deciding import contract_month_id
from psa_erp_assets.services.scope import Scope


def refresh(connection: Connection, scope: Scope, master: MasterData, now: dt.datetime) -> int:
    """Make a head for each month that a contract has reached and has none of yet; answers with how many are new.

    From the first month that is synchronized, or the contract's first, to the present one or the contract's last. A
    month in which several entities sell has a head in the partition of each.
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


def follow_up(connection: Connection, tenant: str, where: ContractMonth, master: MasterData, now: dt.datetime) -> None:
    """Make the contract's next month due, with all who sell in it, because what this one leaves to it has changed."""
    contract, following = master.contract(where.contract_id), where.month.next()
    if contract is None:
        return
    routes = {
        contract_month_id(contract.id, following, seller): Route(seller, following, contract.id)
        for seller in sellers_in(contract, following)
    }
    known = work_heads.heads(connection, tenant, list(routes))
    work_heads.mark_changed(connection, tenant, {i: route for i, route in routes.items() if i in known}, now)


def _months(contract: Contract, first: ServiceMonth, present: ServiceMonth) -> list[ServiceMonth]:
    ends = [e for e in (contract.valid_to, *(a.valid_to for a in contract.amendments)) if e is not None]
    open_ended = contract.as_of(dt.date.max).valid_to is None
    last = present if open_ended or not ends else min(present, ServiceMonth.of(max(ends)))
    month, months = max(first, ServiceMonth.of(contract.valid_from)), []
    while month <= last:
        months.append(month)
        month = month.next()
    return months
