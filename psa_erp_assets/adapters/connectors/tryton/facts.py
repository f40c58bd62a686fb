"""What a company's books are made of in Tryton: the ids that a document needs besides those in its effect.

They are read once for each company and kept for the life of the connection; what finance changes from day to day
(periods, taxes) is read anew each time by `erp`.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from psa_erp_assets.adapters.connectors.tryton.rpc import TrytonRpc

REFERENCE = "external_ref"
"""The field of the companion module that makes Tryton an ERP with external ids."""


class SetupMissingError(Exception):
    """Tryton lacks something that posting needs; the message names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """How the installation names what postings go to: the billed product, the cost journal and two account codes."""

    product: str = "Consulting hours"
    cost_journal: str = "Project cost"
    delivery_cost: str = "5000"
    labor_absorbed: str = "5900"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanyFacts:
    """Ids in one company."""

    currency: str
    analytic_root: int
    revenue: int
    delivery_cost: int
    labor_absorbed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFacts:
    """Ids that all companies share."""

    product: int
    unit: int
    cost_journal: int
    currencies: dict[str, int]


class Facts:
    """Reads and keeps the ids. Threads may share it."""

    def __init__(self, rpc: TrytonRpc, chart: Chart) -> None:
        self._rpc, self._chart = rpc, chart
        self._lock = threading.RLock()
        self._group: GroupFacts | None = None
        self._companies: dict[int, CompanyFacts] = {}
        self._has_reference: bool | None = None

    def has_reference(self) -> bool:
        """Whether the companion module is active, which gives documents a unique external reference."""
        with self._lock:
            if self._has_reference is None:
                self._has_reference = REFERENCE in self._rpc.call("model.account.invoice.line.fields_get", None)
            return self._has_reference

    def tax_rates(self, taxes: Iterable[int]) -> dict[int, Decimal]:
        """The rate of each tax as it is now; 0 for a tax that is not a percentage. Raises a TrytonError."""
        ids = sorted(set(taxes))
        rows = self._rpc.search("account.tax", [["id", "in", ids]], ["rate"]) if ids else []
        return {row["id"]: Decimal(row["rate"] or 0) for row in rows}

    def group(self) -> GroupFacts:
        """The shared ids. Raises SetupMissingError or a TrytonError."""
        with self._lock:
            if self._group is None:
                product = self._one("product.product", [["template.name", "=", self._chart.product]], ["default_uom"])
                journal = self._one("account.journal", [["name", "=", self._chart.cost_journal]], ["id"])
                currencies = self._rpc.search("currency.currency", [], ["code"])
                self._group = GroupFacts(
                    product=product["id"],
                    unit=product["default_uom"],
                    cost_journal=journal["id"],
                    currencies={c["code"]: c["id"] for c in currencies},
                )
            return self._group

    def company(self, company: int) -> CompanyFacts:
        """The company's ids. Raises SetupMissingError or a TrytonError."""
        with self._lock:
            if company not in self._companies:
                own = ["company", "=", company]
                row = self._one("company.company", [["id", "=", company]], ["currency.code"])
                root = self._one("analytic_account.account", [own, ["type", "=", "root"]], ["id"])
                self._companies[company] = CompanyFacts(
                    currency=row["currency."]["code"],
                    analytic_root=root["id"],
                    revenue=self._revenue(company),
                    delivery_cost=self._account(own, self._chart.delivery_cost),
                    labor_absorbed=self._account(own, self._chart.labor_absorbed),
                )
            return self._companies[company]

    def _revenue(self, company: int) -> int:
        """The account that Tryton itself would put on a line with the product, category and tax rules included."""
        blank = dict.fromkeys(("account", "unit", "party", "invoice"))
        line = {"id": -1, "invoice_type": "out", "company": company, "product": self.group().product, "taxes": []}
        changed = self._rpc.call(
            "model.account.invoice.line.on_change", {**blank, **line}, ["product"], context={"company": company}
        )
        if not changed.get("account"):
            raise SetupMissingError(f"product {self._chart.product!r} has no revenue account in this company")
        return int(changed["account"])

    def _account(self, own: list[Any], code: str) -> int:
        return int(self._one("account.account", [own, ["code", "=", code]], ["id"])["id"])

    def _one(self, model: str, domain: list[Any], fields: list[str]) -> dict[str, Any]:
        rows = self._rpc.call(f"model.{model}.search_read", domain, 0, 2, None, fields)  # archived ones left out
        if len(rows) != 1:
            what = "is not there" if not rows else "is there more than once"
            raise SetupMissingError(f"{model} with {domain!r} {what}")
        return dict(rows[0])
