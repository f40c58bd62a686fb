"""Lists of the systems of record that are taken for the whole: what one lacks is asked for by its id first.

A list that was cut off, filtered or moved while it was read lacks objects that are still there. An object is gone when
the list lacks it and the source says so of its id. A failed read is a SourceError, and then nothing is known at all.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Engine

from psa_erp_assets.adapters.connectors.bamboohr.client import BambooHrClient
from psa_erp_assets.adapters.connectors.hubspot.client import HubSpotClient
from psa_erp_assets.adapters.store.last_readings import last_keys

Body = dict[str, Any]


class SuspiciousShrinkError(Exception):
    """A source that answered well has lost so many records that a mistake is likelier than the truth."""


def deals(engine: Engine, tenant: str, crm: HubSpotClient) -> list[Body]:
    """All deals. Raises SourceError or SuspiciousShrinkError."""
    return _completed(engine, tenant, ("hubspot", "deal"), crm.deals(), crm.deal)


def companies(engine: Engine, tenant: str, crm: HubSpotClient) -> list[Body]:
    """All companies. Raises SourceError or SuspiciousShrinkError."""
    return _completed(engine, tenant, ("hubspot", "company"), crm.companies(), crm.company)


def employees(engine: Engine, tenant: str, hr: BambooHrClient) -> list[Body]:
    """Everybody. Raises SourceError or SuspiciousShrinkError."""
    return _completed(engine, tenant, ("bamboohr", "employee"), hr.employees(), hr.employee)


def absent(engine: Engine, tenant: str, kind: tuple[str, str], listed: Collection[str]) -> list[str]:
    """The ids of the last reading that a list lacks; `kind` is a source and its type of object.

    Raises SuspiciousShrinkError where they are more than five and more than a third: asking for each would take long,
    and a filter or a permission that was changed is likelier.
    """
    with engine.connect() as connection:
        known = last_keys(connection, tenant, *kind)
    missing = sorted(known.difference(listed))
    if len(missing) > max(5, len(known) // 3):
        source, object_type = kind
        raise SuspiciousShrinkError(
            f"{source} no longer has {len(missing)} of the {object_type} records that it had; nothing was changed"
        )
    return missing


def _completed(
    engine: Engine,
    tenant: str,
    kind: tuple[str, str],
    listed: Sequence[Body],
    fetch: Callable[[str], Mapping[str, Any] | None],
) -> list[Body]:
    missing = absent(engine, tenant, kind, {str(body["id"]) for body in listed})
    found = (fetch(object_id) for object_id in missing)
    return [*listed, *(dict(body) for body in found if body is not None)]
