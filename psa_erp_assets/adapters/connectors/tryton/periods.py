"""The accounting periods that journal entries go to, made ready before anything is created in them.

A period is open for a journal by a record of both, a journal period. Tryton makes it on the first entry, under a lock
of the whole table: of two clients that are first, one is answered with a 503 that proves nothing. So it is made here
beforehand, where a failure is definite, as no document has been sent.
"""

import datetime as dt
from collections.abc import Collection

from psa_erp_assets.adapters.connectors.tryton.facts import SetupMissingError
from psa_erp_assets.adapters.connectors.tryton.rpc import RefusedError, TrytonRpc


class PeriodClosedError(Exception):
    """A date falls into a period that is closed, in general or for the journal."""


def open_periods(rpc: TrytonRpc, company: int, journal: int, dates: Collection[dt.date]) -> dict[dt.date, int]:
    """The id of each date's period, all of them open for the journal.

    Raises PeriodClosedError, SetupMissingError for a date without a period, or a TrytonError.
    """
    if not dates:
        return {}
    span = [["start_date", "<=", max(dates)], ["end_date", ">=", min(dates)]]
    periods = rpc.search(
        "account.period",
        [["company", "=", company], ["type", "=", "standard"], *span],
        ["start_date", "end_date", "state", "name"],
    )
    # Closing a period closes its journals one by one, and a reopened period leaves them closed.
    states = _journal_periods(rpc, journal, [period["id"] for period in periods])
    found: dict[dt.date, int] = {}
    for date in sorted(dates):
        period = next((p for p in periods if p["start_date"] <= date <= p["end_date"]), None)
        if period is None:
            raise SetupMissingError(f"no accounting period has the date {date}")
        if period["state"] != "open" or states.get(period["id"], "open") != "open":
            raise PeriodClosedError(f"period {period['name']} is closed, or is so in the journal of these entries")
        found[date] = int(period["id"])
    for missing in sorted(set(found.values()) - states.keys()):
        _make_ready(rpc, company, journal, missing)
    return found


def _journal_periods(rpc: TrytonRpc, journal: int, periods: Collection[int]) -> dict[int, str]:
    """The state of the journal in those of the periods that it has had an entry in."""
    rows = rpc.search(
        "account.journal.period",
        [["journal", "=", journal], ["period", "in", list(periods)]],
        ["period", "state"],
    )
    return {row["period"]: row["state"] for row in rows}


def _make_ready(rpc: TrytonRpc, company: int, journal: int, period: int) -> None:
    try:
        rpc.call(
            "model.account.journal.period.create",
            [{"journal": journal, "period": period}],
            context={"company": company},
        )
    except RefusedError:
        # Another client was first, or the user may not: the entry itself then makes it, as it always could.
        return
