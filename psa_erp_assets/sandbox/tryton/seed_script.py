"""Runs inside Tryton's own environment: makes a database into a Tryton with three companies' books.

Reads one JSON job from standard input and talks to trytond's pool directly, which is some ten times faster than the
same records over RPC. It imports nothing of this project, because Tryton's environment does not have it.

Job: {"database": name, "modules": [module to activate], "seed": {…} or null}. The configuration file is named by
TRYTOND_CONFIG. A database that has no Tryton yet is initialized first.
"""

import datetime as dt
import json
import os
import sys
from decimal import Decimal

import trytond.config as tryton_config

tryton_config.update_etc(os.environ["TRYTOND_CONFIG"])

from trytond import __series__, backend  # noqa: E402 - the back end is chosen by the configuration
from trytond.pool import Pool  # noqa: E402
from trytond.transaction import Transaction, TransactionError  # noqa: E402

_OPENING = dt.date(2020, 1, 1)
_ACCOUNTS = (  # role, name, code, statement, flags of the account type
    ("receivable", "Trade receivables", "1200", "balance", ("assets", "receivable")),
    ("payable", "Trade payables", "2100", "balance", ("payable",)),
    ("bank", "Bank", "1000", "balance", ("assets",)),
    ("tax", "Tax collected", "2200", "balance", ()),
    ("revenue", "Consulting revenue", "4000", "income", ("revenue",)),
    ("delivery", "Project delivery cost", "5000", "income", ("expense",)),
    ("absorbed", "Labor absorbed", "5900", "income", ("expense",)),
    ("exchange", "Currency exchange", "7000", "income", ("expense",)),
    # A deposit in Tryton's sense, because those are the only balance-sheet accounts that it lets a customer's invoice
    # line credit.
    ("contract", "Contract balances (earned less billed)", "1250", "balance", ("assets", "deposit")),
    ("due_from", "Intercompany receivable", "1260", "balance", ("assets",)),
    ("due_to", "Intercompany payable", "2150", "balance", ()),
    ("reimburse", "Expenses to reimburse", "2160", "balance", ()),
    ("provision", "Provision for contract losses", "2300", "balance", ()),
    ("loss", "Expected contract losses", "5100", "income", ("expense",)),
    ("charged_out", "Labor charged out", "5910", "income", ("expense",)),
)
_JOURNALS = (("Project cost", "PROJ"), ("Contract revenue", "REVN"), ("Intercompany charges", "ICOM"))


def main():
    """Carry out the job on standard input."""
    job = json.load(sys.stdin)
    database = backend.Database(job["database"])
    database.connect()
    fresh = not database.test()
    if fresh:
        database.init()
    pool = Pool(job["database"])
    if job["modules"]:
        pool.init(update=job["modules"], lang=["en"], activatedeps=True, indexes=True)
    else:
        pool.init()
    if fresh:
        _in_transaction(job["database"], lambda: _mark_as_tryton(pool))
    if job["seed"]:
        _in_transaction(job["database"], lambda: Seeder(pool, job["seed"]).run())


def _in_transaction(database, work):
    """Run `work` in one transaction, again with what it asks for when it needs a table lock from the start."""
    extras = {}
    while True:
        with Transaction().start(database, 0, context={"language": "en"}, **extras) as transaction:
            try:
                return work()
            except TransactionError as error:
                transaction.rollback()
                error.fix(extras)


def _mark_as_tryton(pool):
    configuration = pool.get("ir.configuration")(1)
    configuration.series = __series__
    configuration.language = "en"
    configuration.save()


class Seeder:
    """Writes one seed in one transaction."""

    def __init__(self, pool, seed):
        self.pool, self.seed = pool, seed
        self.companies, self.accounts = {}, {}

    def run(self):
        """Everything, in the order in which records need each other."""
        self._currencies()
        self._parties()
        self._companies()
        self._users()
        self._journals()
        for company in self.companies.values():
            with Transaction().set_context(company=company.id, companies=[company.id]):
                self._chart(company)
                self._fiscal_year(company)
        self._taxes()
        self._products()
        self._analytic_accounts()

    def _model(self, name):
        return self.pool.get(name)

    def _one(self, model, **values):
        (record,) = self._model(model).create([values])
        return record

    def _data(self, module, name):
        return self._model("ir.model.data").get_id(module, name)

    def _currencies(self):
        known = {
            "USD": ("US Dollar", "$"),
            "GBP": ("Pound Sterling", "£"),
            "EUR": ("Euro", "€"),
            "SEK": ("Swedish Krona", "kr"),
            "JPY": ("Yen", "¥"),
            "CHF": ("Swiss Franc", "CHF"),
        }
        self.currencies = {}
        for code in self.seed["currencies"]:
            name, symbol = known.get(code, (code, code))
            digits = 0 if code == "JPY" else 2
            self.currencies[code] = self._one(
                "currency.currency",
                name=name,
                code=code,
                symbol=symbol,
                digits=digits,
                rounding=Decimal(1).scaleb(-digits),
            )
        rates = [{"currency": self.currencies["USD"].id, "date": _OPENING, "rate": Decimal(1)}]
        rates += [
            {
                "currency": self.currencies[r["currency"]].id,
                "date": dt.date.fromisoformat(r["date"]),
                "rate": Decimal(str(r["per_usd"])),
            }
            for r in self.seed["fx_rates"]
            if r["currency"] != "USD"
        ]
        self._model("currency.currency.rate").create(rates)

    def _countries(self, codes):
        return {
            code: country.id
            for code, country in zip(
                codes,
                self._model("country.country").create([{"name": code, "code": code} for code in codes]),
                strict=True,
            )
        }

    def _parties(self):
        codes = sorted({c["country"] for key in ("companies", "customers") for c in self.seed[key]})
        countries = self._countries(codes)
        self.payment_term = self._one(
            "account.invoice.payment_term",
            name="30 days",
            lines=[("create", [{"type": "remainder", "relativedeltas": [("create", [{"days": 30}])]}])],
        )
        rows = [
            {
                "name": c["name"],
                "code": code,
                "addresses": [("create", [{"country": countries[c["country"]], "invoice": True}])],
            }
            for c, code in [(c, "ENTITY-" + c["code"]) for c in self.seed["companies"]]
            + [(c, c["code"]) for c in self.seed["customers"]]
        ]
        parties = self._model("party.party").create(rows)
        self.entity_parties = dict(zip([c["code"] for c in self.seed["companies"]], parties, strict=False))
        self.customer_parties = parties[len(self.entity_parties) :]

    def _companies(self):
        for c in self.seed["companies"]:
            self.companies[c["code"]] = self._one(
                "company.company",
                party=self.entity_parties[c["code"]].id,
                currency=self.currencies[c["currency"]].id,
                # Finance may cancel an invoice that is posted, which Tryton leaves to the law of the country.
                cancel_invoice_out=True,
            )

    def _users(self):
        everyone = [company.id for company in self.companies.values()]
        accounting = [self._data("account", "group_account")]
        analytic = [self._data("analytic_account", "group_analytic_admin")]
        masters = [
            self._data("account", "group_account_admin"),
            self._data("party", "group_party_admin"),
            self._data("currency", "group_currency_admin"),
        ]
        users = [
            {"login": "psa_erp_sync", "name": "PSA sync", "groups": [("add", accounting)]},
            {"login": "finance", "name": "Finance", "groups": [("add", accounting + analytic + masters)]},
        ]
        for user in users:
            user.update(companies=[("add", everyone)], company=everyone[0], company_filter="all")
        self._model("res.user").create(users)

    def _journals(self):
        self.cash_journal = self._one("account.journal", name="Bank", code="BANK", type="cash")
        for name, code in _JOURNALS:
            self._one("account.journal", name=name, code=code, type="general")

    def _chart(self, company):
        accounts = self.accounts[company.id] = {}
        for role, name, code, statement, flags in _ACCOUNTS:
            kind = self._one(
                "account.account.type", name=name, company=company.id, statement=statement, **dict.fromkeys(flags, True)
            )
            accounts[role] = self._one(
                "account.account",
                name=name,
                code=code,
                company=company.id,
                type=kind.id,
                party_required=role in ("receivable", "payable"),
                reconcile=role in ("receivable", "payable"),
            )
        exchange = self._one("account.journal", name=f"Currency exchange {company.id}", type="write-off")
        configuration = self._model("account.configuration")(1)
        configuration.default_account_receivable = accounts["receivable"]
        configuration.default_account_payable = accounts["payable"]
        configuration.currency_exchange_journal = exchange
        configuration.currency_exchange_credit_account = accounts["exchange"]
        configuration.currency_exchange_debit_account = accounts["exchange"]
        configuration.default_category_account_revenue = accounts["revenue"]
        configuration.default_category_account_expense = accounts["delivery"]
        configuration.save()
        self._one(
            "account.invoice.payment.method",
            company=company.id,
            name="Bank transfer",
            journal=self.cash_journal.id,
            credit_account=accounts["bank"].id,
            debit_account=accounts["bank"].id,
        )

    def _fiscal_year(self, company):
        year = self.seed["fiscal_year"]
        entries = self._sequence(company, f"Entries {year}", "account", "sequence_type_account_move", "")
        invoices = self._sequence(
            company, f"Invoices {year}", "account_invoice", "sequence_type_account_invoice", f"INV{year}-"
        )
        fiscal_year = self._one(
            "account.fiscalyear",
            name=str(year),
            company=company.id,
            start_date=dt.date(year, 1, 1),
            end_date=dt.date(year, 12, 31),
            move_sequence=entries.id,
            invoice_sequences=[
                (
                    "create",
                    [
                        {
                            "company": company.id,
                            "in_invoice_sequence": invoices.id,
                            "in_credit_note_sequence": invoices.id,
                            "out_invoice_sequence": invoices.id,
                            "out_credit_note_sequence": invoices.id,
                        }
                    ],
                )
            ],
        )
        self._model("account.fiscalyear").create_period([fiscal_year])

    def _sequence(self, company, name, module, sequence_type, prefix):
        return self._one(
            "ir.sequence.strict",
            name=name,
            company=company.id,
            prefix=prefix,
            padding=5,
            sequence_type=self._data(module, sequence_type),
        )

    def _taxes(self):
        for tax in self.seed["taxes"]:
            company = self.companies[tax["company"]]
            account = self.accounts[company.id]["tax"].id
            self._one(
                "account.tax",
                name=tax["name"],
                description=tax["name"],
                company=company.id,
                type="percentage",
                rate=Decimal(str(tax["rate"])),
                invoice_account=account,
                credit_note_account=account,
                active=tax.get("active", True),
            )

    def _products(self):
        # Ten digits of an hour: minutes/60 must reach the cent (kimai#3282 shows what two digits do).
        unit = self._one(
            "product.uom",
            name="Billing hour",
            symbol="h",
            category=self._data("product", "uom_cat_time"),
            factor=1.0,
            rate=1.0,
            digits=10,
            rounding=1e-10,
        )
        category = self._one("product.category", name="Services", accounting=True)
        for company in self.companies.values():
            with Transaction().set_context(company=company.id):
                category = self._model("product.category")(category.id)
                category.account_revenue = self.accounts[company.id]["revenue"]
                category.account_expense = self.accounts[company.id]["delivery"]
                category.save()
        for name, code, billed_by in (
            (self.seed["service_product"], "CONSULTING", unit.id),
            ("Fees and expenses", "FEE", self._data("product", "uom_unit")),
        ):
            self._one(
                "product.template",
                name=name,
                type="service",
                default_uom=billed_by,
                account_category=category.id,
                products=[("create", [{"suffix_code": code}])],
            )

    def _analytic_accounts(self):
        roots = {
            code: self._one(
                "analytic_account.account",
                name="Projects",
                code="PROJECTS",
                type="root",
                company=company.id,
                state="opened",
            )
            for code, company in self.companies.items()
        }
        self._model("analytic_account.account").create(
            [
                {
                    "name": p["name"],
                    "code": p["code"],
                    "company": self.companies[p["company"]].id,
                    "type": "normal",
                    "state": "opened",
                    "root": roots[p["company"]].id,
                    "parent": roots[p["company"]].id,
                }
                for p in self.seed["projects"]
            ]
        )


if __name__ == "__main__":
    main()
