"""Fingerprints of what the plan of a contract's month is made from, computed in the database.

Two equal fingerprints mean equal content: a fingerprint is a count with the sum of 64-bit hashes of what identifies
each row's content, which does not depend on the order of the rows. Nothing here looks at a clock.
"""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    cast,
    func,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by, distinct_on

from psa_erp_assets.adapters.store import work_heads
from psa_erp_assets.adapters.store.conditions import among
from psa_erp_assets.adapters.store.schema import (
    contract_balance,
    credit,
    erp_document,
    master_record,
    period_choice,
    posting,
    work_head,
)
from psa_erp_assets.adapters.store.schema_exceptions import write_off
from psa_erp_assets.adapters.store.work_heads import Partition

_SEPARATOR = "\x1f"


def contracts_of(
    connection: Connection, tenant: str, partition: Partition, contracts: Collection[str | None] | None = None
) -> dict[str | None, int]:
    """How many objects a partition has of each contract, or of each of some; None stands for work on none."""
    head = work_head.c
    mine = work_heads.within(tenant, partition, contracts)
    statement = select(head.contract_id, func.count()).where(mine).group_by(head.contract_id)
    return {row[0]: row[1] for row in connection.execute(statement)}


def by_contract(
    connection: Connection, tenant: str, partition: Partition, contracts: Collection[str | None]
) -> dict[str | None, list[str]]:
    """What identifies the facts, postings, ERP documents and opening balance of each contract's month.

    A contract's month is all its work of that month, whichever legal entity sells it.
    """
    found: dict[str | None, list[str]] = defaultdict(list)
    for statement in (
        _facts(tenant, partition, contracts),
        _postings(tenant, partition, contracts),
        _own_postings(tenant, partition, contracts),
        _openings(tenant, partition, contracts),
    ):
        for contract_id, *prints in connection.execute(statement):
            found[contract_id].append(":".join(map(str, prints)))
        for contract_id in contracts:
            found[contract_id].append("|")
    return {contract_id: found[contract_id] for contract_id in contracts}


def of_tenant(connection: Connection, tenant: str) -> list[str]:
    """What identifies the master data, credits, choices and write-offs, which may bear on any contract."""
    record, one_credit, choice, document, given_up = (
        master_record.c,
        credit.c,
        period_choice.c,
        erp_document.c,
        write_off.c,
    )
    every = (record.object_type, record.canonical_id, record.content_hash)
    statements: tuple[Select[*tuple[Any, ...]], ...] = (
        select(
            func.md5(func.string_agg(func.concat_ws(_SEPARATOR, *every), aggregate_order_by(literal("\n"), *every)))
        ).where(record.tenant == tenant, record.superseded_at.is_(None)),
        select(func.count(), _sum_of(one_credit.credit_id)).where(one_credit.tenant == tenant),
        select(func.count(), _sum_of(cast(choice.id, Text))).where(choice.tenant == tenant),
        select(func.count(), _sum_of(cast(given_up.id, Text))).where(given_up.tenant == tenant),
        # Finance's own credit notes, which have no key of ours.
        select(
            func.count(),
            _sum_of(document.erp_id, document.credits_key, document.document_state, cast(document.minutes, Text)),
        ).where(document.tenant == tenant, document.credits_key.is_not(None)),
    )
    return [":".join(map(str, connection.execute(statement).one())) for statement in statements]


def _facts(tenant: str, partition: Partition, contracts: Collection[str | None]) -> Select[*tuple[Any, ...]]:
    head = work_head.c
    content = (head.object_id, cast(head.revision, Text), head.legal_entity)
    return (
        select(head.contract_id, func.count(), _sum_of(*content))
        .where(_month_of(tenant, partition, contracts))
        .group_by(head.contract_id)
    )


def _postings(tenant: str, partition: Partition, contracts: Collection[str | None]) -> Select[*tuple[Any, ...]]:
    """Postings of facts and of credits of them, wherever they were posted, with the documents that carry them."""
    head, one_credit = work_head.c, credit.c
    mine = _month_of(tenant, partition, contracts)
    objects = union_all(
        select(head.contract_id, head.object_id).where(mine),
        select(head.contract_id, func.concat(head.object_id, "#", one_credit.credit_id))
        .join(credit, and_(one_credit.tenant == head.tenant, one_credit.object_id == head.object_id))
        .where(mine),
    ).subquery("objects")
    return (
        select(objects.c.contract_id, func.count(), _ledger())
        .join(posting, and_(posting.c.tenant == tenant, posting.c.object_id == objects.c.object_id))
        .join(erp_document, erp_document.c.key == posting.c.key, isouter=True)
        .group_by(objects.c.contract_id)
    )


def _own_postings(tenant: str, partition: Partition, contracts: Collection[str | None]) -> Select[*tuple[Any, ...]]:
    """Postings of the contracts' own objects, whose ids begin with the contract's."""
    table = posting.c
    contract_id = func.split_part(table.object_id, ":", 2)
    return (
        select(contract_id, func.count(), _ledger())
        .join(erp_document, erp_document.c.key == table.key, isouter=True)
        .where(
            table.tenant == tenant,
            # A range of the index: these ids begin with "contract:".
            table.object_id.between("contract:", "contract;"),
            table.service_month == partition[1],
            _among(contract_id, contracts),
        )
        .group_by(contract_id)
    )


def _openings(tenant: str, partition: Partition, contracts: Collection[str | None]) -> Select[*tuple[Any, ...]]:
    table = contract_balance.c
    return (
        select(table.contract_id, table.content_hash)
        .ext(distinct_on(table.contract_id))
        .where(table.tenant == tenant, table.service_month < partition[1], _among(table.contract_id, contracts))
        .order_by(table.contract_id, table.service_month.desc())
    )


def _ledger() -> ColumnElement[Any]:
    """Where postings stand, and their documents. An attempt counts: a posting can come to the same state twice."""
    table, document = posting.c, erp_document.c
    return _sum_of(
        table.key,
        table.state,
        table.fault_code,
        cast(table.fence, Text),
        cast(table.attempts, Text),
        document.erp_id,
        document.document,
        document.document_state,
    )


def _month_of(tenant: str, partition: Partition, contracts: Collection[str | None]) -> ColumnElement[bool]:
    head = work_head.c
    of_contracts = _among(head.contract_id, contracts)
    if None in contracts:
        of_contracts = or_(of_contracts, and_(head.contract_id.is_(None), head.legal_entity == partition[0]))
    return and_(head.tenant == tenant, head.service_month == partition[1], of_contracts)


def _among(column: ColumnElement[str | None], contracts: Collection[str | None]) -> ColumnElement[bool]:
    return among(column, [c for c in contracts if c is not None])


def _sum_of(*content: ColumnElement[Any]) -> ColumnElement[Any]:
    """The sum of the hashes of rows. Nothing is left out: a null among the columns is a word of its own."""
    text = func.concat_ws(_SEPARATOR, *(func.coalesce(column, "~") for column in content))
    return func.sum(func.hashtextextended(text, 0))
