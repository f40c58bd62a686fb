"""Credits that finance made in the ERP: which of them nobody has classified yet."""

import datetime as dt
from collections import Counter
from collections.abc import Collection

from sqlalchemy import Connection

from psa_erp_assets.adapters.store import credits as credit_rows
from psa_erp_assets.adapters.store import erp_documents, exceptions
from psa_erp_assets.adapters.store.exceptions import Sighting
from psa_erp_assets.adapters.store.work_heads import Partition

_CODE = "credited_in_erp"


def note_unclassified(
    connection: Connection,
    tenant: str,
    partition: Partition,
    *,
    company: str,
    now: dt.datetime,
    looked_at: Collection[str] | None = None,
) -> None:
    """Open or touch an exception item for each entry with more minutes credited in the ERP than classified, as last
    read; resolve those of the others. `looked_at` limits it to some objects.
    """
    found = [s for s in _unclassified(connection, tenant, company, partition) if _is_of(s.object_id, looked_at)]
    scope = f"credits:{company}:{partition[1]}"
    exceptions.open_or_touch(connection, tenant, scope, found, now)
    seen = [(s.code, s.object_id) for s in found]
    exceptions.resolve_absent(connection, tenant, scope, seen, now, looked_at=looked_at)


def _is_of(object_id: str, looked_at: Collection[str] | None) -> bool:
    return looked_at is None or object_id in looked_at


def _unclassified(connection: Connection, tenant: str, company: str, partition: Partition) -> list[Sighting]:
    by_hand = erp_documents.credited_by_hand(connection, tenant, company, partition[1])
    said: Counter[str] = Counter()
    for credit in credit_rows.of_objects(connection, tenant, list(by_hand)):
        said[credit.object_id] += credit.minutes if credit.in_erp else 0
    return [
        Sighting(
            code=_CODE,
            object_id=object_id,
            detail=f"{minutes} min credited in the ERP, {said[object_id]} of them classified",
            evidence={"credited_minutes": minutes, "classified_minutes": said[object_id]},
            legal_entity=partition[0],
            service_month=partition[1],
            minutes=minutes - said[object_id],
        )
        for object_id, minutes in sorted(by_hand.items())
        if minutes > said[object_id]
    ]
