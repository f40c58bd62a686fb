"""What a company's books are made of in Tryton: the ids that a document needs besides those in its effect.

They are read once for each company and kept for the life of the connection; what finance changes from day to day
(periods, taxes) is read anew each time by `erp`.
"""

import enum
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from psa_erp_assets.adapters.connectors.tryton.rpc import TrytonRpc

REFERENCE = "external_ref"
"""The field of the companion module that makes Tryton an ERP with external ids."""


class SetupMissingError(Exception):
    """Tryton lacks something that posting needs; the message names it."""


class Account(enum.StrEnum):
    """What postings go to in each company; the value is the field of `Chart` that has its code."""

    CONTRACT_BALANCE = "contract_balance"
    INTERCOMPANY_RECEIVABLE = "intercompany_receivable"
    INTERCOMPANY_PAYABLE = "intercompany_payable"
    EXPENSES_TO_REIMBURSE = "expenses_to_reimburse"
    LOSS_PROVISION = "loss_provision"
    DELIVERY_COST = "delivery_cost"
    EXPECTED_LOSS = "expected_loss"
    LABOR_ABSORBED = "labor_absorbed"
    LABOR_CHARGED_OUT = "labor_charged_out"


class Journal(enum.StrEnum):
    """The journals of the entries, one for each type of effect; the value is the field of `Chart` that names it."""

    COST = "cost_journal"
    REVENUE = "revenue_journal"
    INTERCOMPANY = "intercompany_journal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """How the installation names what postings go to: the billed products, the journals and the account codes."""

    product: str = "Consulting hours"
    fee_product: str = "Fees and expenses"
    cost_journal: str = "Project cost"
    revenue_journal: str = "Contract revenue"
    intercompany_journal: str = "Intercompany charges"
    contract_balance: str = "1250"
    intercompany_receivable: str = "1260"
    intercompany_payable: str = "2150"
    expenses_to_reimburse: str = "2160"
    loss_provision: str = "2300"
    delivery_cost: str = "5000"
    expected_loss: str = "5100"
    labor_absorbed: str = "5900"
    labor_charged_out: str = "5910"

    def name_of(self, thing: Account | Journal) -> str:
        """The code of an account or the name of a journal."""
        return str(getattr(self, thing.value))


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanyFacts:
    """Ids in one company. `revenue` and `fee_revenue` are the accounts of the two products."""

    name: str
    currency: str
    analytic_root: int
    revenue: int
    fee_revenue: int
    accounts: Mapping[Account, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFacts:
    """Ids that all companies share. `product` is billed by `unit`, an hour; `fee_product` by `fee_unit`, the piece."""

    product: int
    unit: int
    fee_product: int
    fee_unit: int
    journals: Mapping[Journal, int]
    currencies: Mapping[str, int]


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
                product, fee_product = self._product(self._chart.product), self._product(self._chart.fee_product)
                journals = {journal: self._journal(self._chart.name_of(journal)) for journal in Journal}
                currencies = self._rpc.search("currency.currency", [], ["code"])
                self._group = GroupFacts(
                    product=product["id"],
                    unit=product["default_uom"],
                    fee_product=fee_product["id"],
                    fee_unit=fee_product["default_uom"],
                    journals=journals,
                    currencies={c["code"]: c["id"] for c in currencies},
                )
            return self._group

    def company(self, company: int) -> CompanyFacts:
        """The company's ids. Raises SetupMissingError or a TrytonError."""
        with self._lock:
            if company not in self._companies:
                group = self.group()
                fields = ["currency.code", "party.name"]
                row = self._one("company.company", [["id", "=", company]], fields, f"company {company}")
                name = row["party."]["name"] or f"company {company}"
                root_is = [["company", "=", company], ["type", "=", "root"]]
                root = self._one("analytic_account.account", root_is, ["id"], f"the analytic root of {name}")
                self._companies[company] = CompanyFacts(
                    name=name,
                    currency=row["currency."]["code"],
                    analytic_root=root["id"],
                    revenue=self._revenue(company, group.product, self._chart.product),
                    fee_revenue=self._revenue(company, group.fee_product, self._chart.fee_product),
                    accounts=self._accounts(company, name),
                )
            return self._companies[company]

    def _product(self, name: str) -> dict[str, Any]:
        return self._one("product.product", [["template.name", "=", name]], ["default_uom"], f"the product {name!r}")

    def _journal(self, name: str) -> int:
        return int(self._one("account.journal", [["name", "=", name]], ["id"], f"the journal {name!r}")["id"])

    def _revenue(self, company: int, product: int, name: str) -> int:
        """The account that Tryton itself would put on a line with the product, category and tax rules included."""
        blank = dict.fromkeys(("account", "unit", "party", "invoice"))
        line = {"id": -1, "invoice_type": "out", "company": company, "product": product, "taxes": []}
        changed = self._rpc.call(
            "model.account.invoice.line.on_change", {**blank, **line}, ["product"], context={"company": company}
        )
        if not changed.get("account"):
            raise SetupMissingError(f"the product {name!r} has no revenue account in company {company}")
        return int(changed["account"])

    def _accounts(self, company: int, name: str) -> dict[Account, int]:
        codes = {self._chart.name_of(account): account for account in Account}
        of_these = [["company", "=", company], ["code", "in", list(codes)]]
        rows = self._rpc.call("model.account.account.search_read", of_these, 0, None, None, ["code"])
        found = {codes[row["code"]]: int(row["id"]) for row in rows}
        missing = [f"{code} ({account.replace('_', ' ')})" for code, account in codes.items() if account not in found]
        if missing:
            raise SetupMissingError(f"{name} has no account with the code {', '.join(missing)}")
        if len(rows) > len(found):
            raise SetupMissingError(f"{name} has two accounts with one of the codes {', '.join(codes)}")
        return found

    def _one(self, model: str, domain: list[Any], fields: list[str], what: str) -> dict[str, Any]:
        rows = self._rpc.call(f"model.{model}.search_read", domain, 0, 2, None, fields)  # archived ones left out
        if len(rows) != 1:
            raise SetupMissingError(f"{what} {'is not there' if not rows else 'is there more than once'}")
        return dict(rows[0])
