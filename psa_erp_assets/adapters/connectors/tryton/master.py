"""Tryton's master data, which the sync maps to and never changes: companies, parties, projects, taxes, rates, periods.

Everything is read with its archived records, because a retired tax or a closed project is a finding, not an absence.
"""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from psa_erp_assets.adapters.connectors.tryton.rpc import TrytonRpc
from psa_erp_assets.domain.records import FxRate

# Rates are kept to twelve significant digits when they are not entered against the group's currency.
_RATE_DIGITS = Decimal("1e-12")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErpCompany:
    """A company that keeps books in Tryton. `code` is its party's, e.g. ENTITY-UK."""

    id: str
    code: str
    name: str
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErpParty:
    """Who can be invoiced; `code` is the customer's canonical id. Countries are those of its addresses."""

    id: str
    code: str
    name: str
    countries: tuple[str, ...]
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ErpProject:
    """An analytic account; `code` is the project's code. It can be posted to when it is active and open."""

    id: str
    company: str
    code: str
    name: str
    open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ErpTax:
    """A tax of one company. `rate` is a fraction: 0.2 is 20 %."""

    id: str
    company: str
    name: str
    rate: Decimal
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ErpPeriod:
    """An accounting period of one company, first and last day included. `state`: open, closed or locked."""

    id: str
    company: str
    name: str
    start: dt.date
    end: dt.date
    state: str


class MasterData:
    """Reads master data; every method raises a TrytonError where the read failed."""

    def __init__(self, rpc: TrytonRpc) -> None:
        self._rpc = rpc

    def companies(self) -> list[ErpCompany]:
        """All companies that the user may see."""
        rows = self._all("company.company", ["party.code", "party.name", "currency.code"])
        return [
            ErpCompany(
                id=str(row["id"]),
                code=row["party."]["code"] or "",
                name=row["party."]["name"] or "",
                currency=row["currency."]["code"],
            )
            for row in rows
        ]

    def parties(self) -> list[ErpParty]:
        """All parties that have a code."""
        rows = self._all("party.party", ["code", "name", "active", "addresses.country.code"], [["code", "!=", None]])
        return [
            ErpParty(
                id=str(row["id"]),
                code=row["code"],
                name=row["name"] or "",
                countries=tuple(
                    dict.fromkeys(a["country."]["code"] for a in row["addresses."] if a.get("country.") is not None)
                ),
                active=row["active"],
            )
            for row in rows
        ]

    def projects(self) -> list[ErpProject]:
        """The analytic accounts that have a code and can be posted to or could be."""
        rows = self._all(
            "analytic_account.account",
            ["company", "code", "name", "active", "state"],
            [["type", "=", "normal"], ["code", "!=", None]],
        )
        return [
            ErpProject(
                id=str(row["id"]),
                company=str(row["company"]),
                code=row["code"],
                name=row["name"],
                open=row["active"] and row["state"] == "opened",
            )
            for row in rows
        ]

    def taxes(self) -> list[ErpTax]:
        """All percentage taxes."""
        rows = self._all("account.tax", ["company", "name", "rate", "active"], [["type", "=", "percentage"]])
        return [
            ErpTax(
                id=str(row["id"]),
                company=str(row["company"]),
                name=row["name"],
                rate=Decimal(row["rate"]),
                active=row["active"],
            )
            for row in rows
        ]

    def fx_rates(self, group_currency: str) -> list[FxRate]:
        """Every rate entered, as units of the currency for one unit of `group_currency`.

        Tryton keeps rates against an unnamed base; where that is not the group's currency, the rates of one date are
        divided by the group's as of it, and a rate from before the group has one is left out.
        """
        rows = self._all("currency.currency.rate", ["currency.code", "date", "rate"], [["currency", "!=", None]])
        rows.sort(key=lambda row: row["date"])
        base = [row for row in rows if row["currency."]["code"] == group_currency]
        return [
            FxRate(
                id=f"tryton:{row['id']}",
                from_currency=group_currency,
                to_currency=row["currency."]["code"],
                date=row["date"],
                rate=_against(Decimal(row["rate"]), Decimal(as_of[-1]["rate"])),
            )
            for row in rows
            if row["currency."]["code"] != group_currency and (as_of := [b for b in base if b["date"] <= row["date"]])
        ]

    def periods(self) -> list[ErpPeriod]:
        """All standard periods of all companies."""
        rows = self._all(
            "account.period", ["company", "name", "start_date", "end_date", "state"], [["type", "=", "standard"]]
        )
        return [
            ErpPeriod(
                id=str(row["id"]),
                company=str(row["company"]),
                name=row["name"],
                start=row["start_date"],
                end=row["end_date"],
                state=row["state"],
            )
            for row in rows
        ]

    def _all(self, model: str, fields: list[str], domain: list[Any] | None = None) -> list[dict[str, Any]]:
        return self._rpc.search(model, domain or [], fields)


def _against(rate: Decimal, base: Decimal) -> Decimal:
    return rate if base == 1 else (rate / base).quantize(_RATE_DIGITS)
