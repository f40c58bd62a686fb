"""Which legal entity an object belongs to, for whoever must not see all of them."""

from sqlalchemy import Connection

from psa_erp_assets.adapters.store import work_heads


def entity_of(connection: Connection, tenant: str, object_id: str) -> str | None:
    """The legal entity in whose partition a piece of work is planned; None where none of it is known yet."""
    head = work_heads.heads(connection, tenant, [object_id]).get(object_id)
    entity: str | None = None if head is None else head.legal_entity
    return entity
