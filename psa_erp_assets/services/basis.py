"""What the plan of a contract's month is made from, as one fingerprint: while it stays the same, so does the plan.

Facts, postings, ERP documents and the opening balance of the contract's month; master data, links, credits, choices and
write-offs of the tenant; the rules, and the program that applies them.
"""

import hashlib
from collections.abc import Collection
from functools import cache
from importlib import resources

from sqlalchemy import Connection

from psa_erp_assets import domain
from psa_erp_assets.adapters.store import field_drifts, fingerprints, mapping_stories
from psa_erp_assets.adapters.store.bodies import to_body
from psa_erp_assets.adapters.store.work_heads import Partition
from psa_erp_assets.domain.keys import content_hash
from psa_erp_assets.services.scope import Scope


def of_tenant(connection: Connection, scope: Scope) -> str:
    """What is the same for all contracts."""
    rules = content_hash(
        {
            "rules": to_body(scope.rules),
            "cards": [to_body(line) for line in scope.rate_cards],
            "links": [to_body(link) for link in mapping_stories.links(connection, scope.tenant)],
            "contested": sorted([*who, what] for who, what in field_drifts.contested(connection, scope.tenant).items()),
        }
    )
    return _digest(_program(), rules, *fingerprints.of_tenant(connection, scope.tenant))


def of_contracts(
    connection: Connection, tenant: str, partition: Partition, contracts: Collection[str | None], common: str
) -> dict[str | None, str]:
    """The fingerprint of each of these contracts in a partition. `common` is what `of_tenant` said."""
    found = fingerprints.by_contract(connection, tenant, partition, contracts)
    return {contract_id: _digest(common, *partition, *prints) for contract_id, prints in found.items()}


@cache
def _program() -> str:
    """The rules are code as well: after an upgrade everything is planned anew."""
    modules = (file for file in resources.files(domain).iterdir() if file.name.endswith(".py"))
    return _digest(*(file.name + file.read_text() for file in sorted(modules, key=lambda file: file.name)))


def _digest(*parts: str) -> str:
    hashed = hashlib.sha256()
    for part in parts:
        raw = part.encode()
        hashed.update(len(raw).to_bytes(8, "big") + raw)
    return hashed.hexdigest()
