"""Audit entries about what people and programs asked for that they may not: a permission, or a legal entity.

Whoever is denied can ask without end, so an hour has one entry of an account or token and a permission, written at
once, and one more that says how often it was asked again.
"""

import datetime as dt
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Engine

from psa_erp_assets.services import audit

KIND, MORE = "access.denied", "access.denied.more"
WITHIN = dt.timedelta(hours=1)
"""For so long after an entry there is no other one of the same account or token and permission; what comes is counted.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """Somebody may not do something. `asked` is the method and the address as the routes name it, without ids.

    `subject` is a token (token:PREFIX) or an account, and `actor` whose it is. `permission` is None for what no token
    may, `legal_entity` the entity that it was for where the permission is lacking for that one alone.
    """

    subject: str
    actor: str
    permission: str | None
    legal_entity: str | None
    asked: str


@dataclass(slots=True)
class _Since:
    actor: str
    first: dt.datetime
    more: int = 0


class Denials:
    """The denials of one process. Its threads may use it at once."""

    def __init__(self, engine: Engine, tenant: str) -> None:
        self._engine, self._tenant = engine, tenant
        self._since: dict[tuple[str, str | None], _Since] = {}
        self._lock = threading.Lock()

    def note(self, denial: Denial, *, now: dt.datetime) -> None:
        """Write the entry of a denial, or count it; and write what was counted and whose hour is over."""
        key = (denial.subject, denial.permission)
        with self._lock:
            over = self._take(now - WITHIN)
            known = self._since.get(key)
            if known is not None:
                known.more += 1
            else:
                self._since[key] = _Since(denial.actor, now)
        try:
            self._write(over, None if known is not None else denial, now)
        except BaseException:
            # The next one is to be written, then, and what was counted before it.
            with self._lock:
                if known is None:
                    self._since.pop(key, None)
                for counted, since in over:
                    self._since.setdefault(counted, since)
            raise

    def close(self, *, now: dt.datetime) -> None:
        """Write what was counted and is not written yet."""
        with self._lock:
            over = self._take(now)
        self._write(over, None, now)

    def _take(self, until: dt.datetime) -> list[tuple[tuple[str, str | None], _Since]]:
        over = [(key, since) for key, since in self._since.items() if since.first <= until]
        for key, _ in over:
            del self._since[key]
        return [(key, since) for key, since in over if since.more]

    def _write(
        self, over: Iterable[tuple[tuple[str, str | None], _Since]], first: Denial | None, now: dt.datetime
    ) -> None:
        entries = [(MORE, subject, since.actor, _counted(permission, since)) for (subject, permission), since in over]
        if first is not None:
            detail: dict[str, object] = {
                "permission": first.permission,
                "legal_entity": first.legal_entity,
                "asked": first.asked,
            }
            entries.append((KIND, first.subject, first.actor, detail))
        if not entries:
            return
        with self._engine.begin() as connection:
            for kind, subject, actor, said in entries:
                audit.record(connection, self._tenant, kind=kind, subject=subject, actor=actor, detail=said, now=now)


def _counted(permission: str | None, since: _Since) -> dict[str, object]:
    return {"permission": permission, "times": since.more, "since": since.first.isoformat()}
