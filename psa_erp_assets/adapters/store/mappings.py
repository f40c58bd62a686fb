"""Which id in which system stands for which canonical id, from when to when."""

import datetime as dt
from collections.abc import Mapping

from sqlalchemy import Connection, insert, select, update

from psa_erp_assets.adapters.store.schema import mapping


def replace_all(
    connection: Connection,
    *,
    tenant: str,
    object_type: str,
    ids: Mapping[tuple[str, str], str],
    method: str,
    now: dt.datetime,
) -> int:
    """Make `ids`, (system, source id) → canonical id, the open mappings of a type; answers with how many changed.

    What held before ends the day before; a mapping that is made and ended on one day has no day on which it held. What
    stewards have decided (`mapping_stories`) stays as it is.
    """
    today = now.date()
    current = {
        (row.system, row.source_id): row
        for row in connection.execute(
            select(mapping).where(
                mapping.c.tenant == tenant,
                mapping.c.object_type == object_type,
                mapping.c.valid_to.is_(None),
                mapping.c.decision_id.is_(None),
            )
        )
    }
    ended = [row.id for identity, row in current.items() if ids.get(identity) != row.canonical_id]
    fresh = {i: c for i, c in ids.items() if i not in current or current[i].canonical_id != c}
    if ended:
        yesterday = today - dt.timedelta(days=1)
        connection.execute(update(mapping).where(mapping.c.id.in_(ended)).values(valid_to=yesterday))
    if fresh:
        connection.execute(
            insert(mapping),
            [
                {
                    "tenant": tenant,
                    "object_type": object_type,
                    "canonical_id": canonical_id,
                    "system": system,
                    "source_id": source_id,
                    "valid_from": today,
                    "method": method,
                    "decided_at": now,
                }
                for (system, source_id), canonical_id in fresh.items()
            ],
        )
    return len(fresh) + len(ended)
