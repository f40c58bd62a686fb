"""The tables of the lake that assets write, with the type and meaning of every column.

The single place for them: writers are held to these schemas, and the SQL models' columns are checked against them.
Amounts are exact decimals with their currency in the column beside them, time is whole minutes, `service_month` is
written 2026-09, and instants are in UTC. Names are those of `domain.records`, with the unit in them where there is one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

# Wide enough for 99 trillion with the four digits that the longest minor unit has.
MONEY = pa.decimal128(18, 4)
# An hourly rate may be finer than the currency's minor unit: it is derived from salaries.
PER_HOUR = pa.decimal128(18, 6)
FX_RATE = pa.decimal128(20, 10)
FRACTION = pa.decimal128(9, 6)
TEXT, WHOLE, DATE, YES_NO = pa.string(), pa.int64(), pa.date32(), pa.bool_()
INSTANT = pa.timestamp("us", tz="UTC")

# The column that has the month that a row is of.
MONTH = "service_month"
_PARTITION = ("legal_entity", MONTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeTable:
    """A table: its columns with their comments, and the columns whose values make up a partition of it.

    A table without partition columns is always replaced whole; of one that is by month, only the months that differ.
    """

    name: str
    description: str
    schema: pa.Schema
    partitioned_by: tuple[str, ...] = ()

    @property
    def by_month(self) -> bool:
        """Whether each row is of a month."""
        return MONTH in self.schema.names and not self.schema.field(MONTH).nullable

    def comments(self) -> dict[str, str]:
        """What each column means, as far as it is said."""
        return {f.name: f.metadata[b"comment"].decode() for f in self.schema if b"comment" in (f.metadata or {})}


def _column(name: str, kind: pa.DataType, comment: str) -> pa.Field:
    return pa.field(name, kind, nullable=False, metadata={"comment": comment})


def _maybe(name: str, kind: pa.DataType, comment: str) -> pa.Field:
    return pa.field(name, kind, nullable=True, metadata={"comment": comment})


def _table(name: str, description: str, columns: Sequence[pa.Field], partitioned_by: tuple[str, ...] = ()) -> LakeTable:
    return LakeTable(name=name, description=description, schema=pa.schema(columns), partitioned_by=partitioned_by)


_ENTITY = _column("legal_entity", TEXT, "Code of the legal entity that sells the work, e.g. UK.")
_MONTH = _column("service_month", TEXT, "Month in which the work was done, e.g. 2026-09.")
_VALID_FROM = _column("valid_from", DATE, "First day on which the record holds.")
_VALID_TO = _maybe("valid_to", DATE, "Last day on which the record holds; null while it is open.")

LEGAL_ENTITIES = _table(
    "legal_entities",
    "Companies of the group that employ people, sell work and keep books.",
    [
        _column("code", TEXT, "Short code of the entity."),
        _column("name", TEXT, "Registered name."),
        _column("currency", TEXT, "Currency of its books, ISO 4217."),
        _column("country", TEXT, "Country, ISO 3166-1 alpha-2."),
        _column("time_zone", TEXT, "IANA time zone."),
        _column("erp_company", TEXT, "Id of the company in the ERP."),
    ],
)
CUSTOMERS = _table(
    "customers",
    "Who is invoiced.",
    [
        _column("id", TEXT, "Canonical customer id."),
        _column("name", TEXT, "Name."),
        _column("country", TEXT, "Country, ISO 3166-1 alpha-2."),
        _column("crm_id", TEXT, "Id in the CRM, which owns customers."),
        _maybe("psa_id", TEXT, "Id of the client in the PSA; null if it has none."),
        _maybe("erp_party", TEXT, "Id of the party in the ERP; null while the ERP does not know the customer."),
    ],
)
CONTRACTS = _table(
    "contracts",
    "Agreements under which a legal entity sells work to a customer.",
    [
        _column("id", TEXT, "Canonical contract id."),
        _column("name", TEXT, "Name."),
        _column("customer_id", TEXT, "The customer."),
        _column("legal_entity", TEXT, "Code of the selling entity."),
        _column("kind", TEXT, "How work turns into billing, e.g. time_and_materials."),
        _column("currency", TEXT, "Currency in which the contract is billed, ISO 4217."),
        _VALID_FROM,
        _VALID_TO,
        _maybe("content", TEXT, "Checksum of the whole agreement, with its terms and amendments."),
    ],
)
PROJECTS = _table(
    "projects",
    "What time is recorded on.",
    [
        _column("id", TEXT, "Canonical project id."),
        _column("code", TEXT, "Code, the same in the PSA and as analytic account in the ERP."),
        _column("name", TEXT, "Name."),
        _column("psa_id", TEXT, "Id in the PSA."),
        _maybe("contract_id", TEXT, "The contract that it is on; null if none is signed."),
        _column("closed", YES_NO, "Whether the PSA has archived it."),
        _maybe(
            "erp_analytics", TEXT, "Its analytic accounts in the ERP, as company:account; null while there is none."
        ),
    ],
)
EMPLOYEES = _table(
    "employees",
    "Consultants, as HR knows them.",
    [
        _column("id", TEXT, "Canonical employee id."),
        _column("name", TEXT, "Name."),
        _maybe("psa_user_id", TEXT, "Id of the PSA user with the same work e-mail; null if there is none."),
        _column("legal_entity", TEXT, "Code of the entity that employs them."),
        _column("department", TEXT, "Department in HR."),
        _column("time_zone", TEXT, "IANA time zone in which they work."),
        _maybe("role", TEXT, "Job title in HR, which is their grade; null where HR says none."),
    ],
)
BILL_RATES = _table(
    "bill_rates",
    "What an hour costs the customer.",
    [
        _column("id", TEXT, "Id of the rate."),
        _column("project_id", TEXT, "The project."),
        _maybe("employee_id", TEXT, "For whom it holds; null for everybody on the project."),
        _column("per_hour", PER_HOUR, "Amount for an hour."),
        _column("currency", TEXT, "Currency of per_hour, ISO 4217."),
        _VALID_FROM,
        _VALID_TO,
    ],
)
COST_RATES = _table(
    "cost_rates",
    "What an hour of an employee costs the entity that employs them.",
    [
        _column("id", TEXT, "Id of the rate."),
        _column("employee_id", TEXT, "The employee."),
        _column("per_hour", PER_HOUR, "Amount for an hour."),
        _column("currency", TEXT, "Currency of per_hour, ISO 4217."),
        _VALID_FROM,
        _VALID_TO,
    ],
)
FX_RATES = _table(
    "fx_rates",
    "Exchange rates, each in force from its date until the next one of the pair.",
    [
        _column("id", TEXT, "Id of the rate."),
        _column("from_currency", TEXT, "Currency that is converted, ISO 4217."),
        _column("to_currency", TEXT, "Currency that it is converted to, ISO 4217."),
        _column("date", DATE, "First day on which it is in force."),
        _column("rate", FX_RATE, "Units of to_currency for one unit of from_currency."),
    ],
)
TAX_PROFILES = _table(
    "tax_profiles",
    "Which of the ERP's taxes an entity charges to customers of a country.",
    [
        _column("id", TEXT, "Id of the profile."),
        _column("legal_entity", TEXT, "Code of the selling entity."),
        _column("customer_country", TEXT, "Country of the customer, or * for any other."),
        _maybe("erp_tax", TEXT, "Id of the tax in the ERP; null where none is charged."),
        _column("rate", FRACTION, "The tax rate as a fraction: 0.2 is 20 %."),
        _column("active", YES_NO, "Whether the tax is active in the ERP."),
    ],
)
APPROVED_TIME = _table(
    "approved_time",
    "Approved time entries in their current revision, with what was decided about each.",
    [
        _column("tenant", TEXT, "The tenant."),
        _column("entry_id", TEXT, "Id of the time entry."),
        _column("revision", WHOLE, "Revision of the entry, counted from 1."),
        _ENTITY,
        _MONTH,
        _column("service_date", DATE, "Local date of the work's start."),
        _maybe("employee_id", TEXT, "Who worked; null while HR does not know them."),
        _maybe("project_id", TEXT, "The project; null if it is on no signed contract."),
        _maybe("contract_id", TEXT, "The contract; null if there is none."),
        _maybe("customer_id", TEXT, "The customer; null if there is no contract."),
        _column("minutes", WHOLE, "Minutes of work."),
        _column("billable", YES_NO, "Whether the entry was recorded as billable."),
        _column("outcome", TEXT, "What was decided: post, covered, written_off, non_billable or hold."),
        _column("hold_codes", pa.list_(TEXT), "Codes of the reasons why an effect is held; empty if none is."),
        _maybe("bill_rate_id", TEXT, "The bill rate used; null if the entry is not billed."),
        _maybe("cost_rate_id", TEXT, "The cost rate used; null if no cost is posted."),
        _maybe("fx_rate_id", TEXT, "The exchange rates used, separated by commas; null if none was needed."),
        _maybe("bill_amount", MONEY, "Net amount to bill; null if the entry is not billed."),
        _maybe("bill_currency", TEXT, "Currency of bill_amount, ISO 4217: the contract's."),
        _maybe("cost_amount", MONEY, "Labor cost; null if no cost is posted."),
        _maybe("cost_currency", TEXT, "Currency of cost_amount, ISO 4217: the legal entity's."),
        _column("recorded_at", INSTANT, "When the revision was recorded."),
    ],
    _PARTITION,
)
POSTINGS = _table(
    "postings",
    "The ledger of effects: what was sent to the ERP, under which key, and what became of it.",
    [
        _column("key", TEXT, "Idempotency key of the posting."),
        _ENTITY,
        _MONTH,
        _column("effect_type", TEXT, "billing_line, cost_transaction, intercompany_charge or revenue_entry."),
        _column("leg", TEXT, "original, reversal or withdrawal."),
        _column("operation", TEXT, "create or withdraw."),
        _column("object_id", TEXT, "The time entry, expense, milestone or contract object that it comes from."),
        _column("revision", WHOLE, "Revision of the effect, counted from 1."),
        _column("state", TEXT, "State of the posting, e.g. verified."),
        _column("amount", MONEY, "Net amount; negative on a reversal."),
        _column("currency", TEXT, "Currency of amount, ISO 4217."),
        _column("minutes", WHOLE, "Minutes; negative on a reversal."),
        _maybe("erp_id", TEXT, "Id of the document in the ERP; null until it is known."),
        _column("service_date", DATE, "Local date of the work."),
        _column("created_at", INSTANT, "When the posting was planned."),
        _maybe("verified_at", INSTANT, "When the ERP was last seen to hold it as sent; null if never."),
        _maybe("takes_back_minutes", WHOLE, "Minutes of what a reversal or withdrawal takes back; else null."),
        _maybe(
            "booked_as",
            TEXT,
            "What it moves: of a billing line revenue or contract_balance; of a cost labor, intercompany or expense; "
            "of a revenue entry recognition or loss_provision. Null on a charge between entities.",
        ),
        _maybe("target_key", TEXT, "Key of what a reversal or withdrawal takes back; else null."),
        _maybe("attempts", WHOLE, "How often it was sent; what surely was not taken up is not counted."),
        _maybe(
            "approved_at",
            INSTANT,
            "When the work was approved: as the PSA dates it, else when the sync first knew. Null for what a contract "
            "has by itself.",
        ),
        _maybe("drafted_at", INSTANT, "When the ERP was first known to have it; null while it has not."),
    ],
    _PARTITION,
)
ERP_BILLING_LINES = _table(
    "erp_billing_lines",
    "Billing lines as the ERP has them, made by us or by hand.",
    [
        _maybe("key", TEXT, "Our key on the line; null for a line made by hand."),
        _column("erp_id", TEXT, "Id of the line in the ERP."),
        _ENTITY,
        _MONTH,
        _column("service_date", DATE, "Local date of the work; of a line made by hand, its own date."),
        _maybe("party_code", TEXT, "Code of the party in the ERP."),
        _maybe("project_code", TEXT, "Code of the analytic account, which is the project's code; null if it has none."),
        _column("minutes", WHOLE, "Minutes billed; negative on a credit line."),
        _column("net_amount", MONEY, "Net amount; negative on a credit line."),
        _column("currency", TEXT, "Currency of the amounts, ISO 4217."),
        _maybe("tax_amount", MONEY, "Tax of the line; null while no invoice has taken it up."),
        _maybe("invoice_number", TEXT, "Number of the invoice that has taken it up; null without one."),
        _maybe("invoice_state", TEXT, "State of that invoice in the ERP's words."),
        _column("posted", YES_NO, "Whether the ERP has posted that invoice."),
        _maybe("invoice_date", DATE, "Date of that invoice."),
        _maybe("credits_key", TEXT, "Our key on the line that the ERP's own credit note takes back with this one."),
    ],
    _PARTITION,
)
_ENTRY_COLUMNS = [
    _maybe("key", TEXT, "Our key on the entry; null for an entry made by hand."),
    _column("erp_id", TEXT, "Id of the journal entry in the ERP."),
    _ENTITY,
    _MONTH,
    _column("service_date", DATE, "Date of the journal entry, which is that of the work unless its period was closed."),
    _maybe("project_code", TEXT, "Code of the analytic account, which is the project's code; null if it has none."),
    _column("minutes", WHOLE, "Minutes of work; negative on a reversal, 0 where it is not about time."),
    _column("amount", MONEY, "Amount; negative on a reversal."),
    _column("currency", TEXT, "Currency of amount, ISO 4217: that of the entity's books."),
    _maybe("entry_number", TEXT, "Number of the journal entry; null while it is a draft."),
    _maybe("entry_state", TEXT, "State of the journal entry in the ERP's words."),
    _column("posted", YES_NO, "Whether the ERP has posted it."),
]
ERP_COST_ENTRIES = _table(
    "erp_cost_entries",
    "Project cost entries (own labor, labor of other entities, expenses) as the ERP has them, made by us or by hand.",
    _ENTRY_COLUMNS,
    _PARTITION,
)
ERP_INTERCOMPANY_CHARGES = _table(
    "erp_intercompany_charges",
    "What an entity charges another for its people's work, as the ERP has it in the books of the one that charges.",
    _ENTRY_COLUMNS,
    _PARTITION,
)
ERP_REVENUE_ENTRIES = _table(
    "erp_revenue_entries",
    "Revenue recognized and losses provided for, by contract and month, as the ERP has them.",
    _ENTRY_COLUMNS,
    _PARTITION,
)
ERP_INVOICES = _table(
    "erp_invoices",
    "Customer invoices as the ERP has them.",
    [
        _column("erp_id", TEXT, "Id of the invoice in the ERP."),
        _maybe("number", TEXT, "Number; null while it is a draft."),
        _column("legal_entity", TEXT, "Code of the invoicing entity."),
        _column("party_code", TEXT, "Code of the party in the ERP."),
        _maybe("invoice_date", DATE, "Date; null while it is a draft without one."),
        _column("currency", TEXT, "Currency of the amounts, ISO 4217."),
        _column("net_amount", MONEY, "Net amount."),
        _column("tax_amount", MONEY, "Tax."),
        _column("total_amount", MONEY, "Net amount and tax."),
        _column("open_amount", MONEY, "What is still to be paid."),
        _column("state", TEXT, "State in the ERP's words, e.g. posted or paid."),
    ],
)
ERP_PAYMENTS = _table(
    "erp_payments",
    "Payments of customer invoices as the ERP has them, by invoice.",
    [
        _column("erp_id", TEXT, "Id of the payment's line in the ERP."),
        _maybe("number", TEXT, "Number of the payment's entry; null while it has none."),
        _column("invoice_id", TEXT, "Id of the invoice in the ERP."),
        _column("legal_entity", TEXT, "Code of the invoicing entity."),
        _column("paid_on", DATE, "Date of the payment's entry."),
        _column("amount", MONEY, "What was paid; negative where money went back."),
        _column("currency", TEXT, "Currency of the invoice, ISO 4217."),
    ],
)
RECONCILIATION = _table(
    "reconciliation",
    "Approved time, the ERP's billing lines and its posted invoices, compared entry by entry.",
    [
        _ENTITY,
        _MONTH,
        _maybe("contract_id", TEXT, "The contract; null if there is none."),
        _maybe("employee_id", TEXT, "Who worked; null if unknown or for a line made by hand."),
        _column("entry_id", TEXT, "Id of the time entry, or of the ERP's line where no entry is behind it."),
        _column("approved_minutes", WHOLE, "Minutes approved in the PSA."),
        _column("erp_minutes", WHOLE, "Minutes on the ERP's billing lines."),
        _column("invoiced_minutes", WHOLE, "Minutes on posted invoices."),
        _maybe("approved_amount", MONEY, "Net amount to bill; null while it cannot be determined."),
        _column("erp_amount", MONEY, "Net amount on the ERP's billing lines."),
        _column("invoiced_amount", MONEY, "Net amount on posted invoices."),
        _maybe("currency", TEXT, "Currency of the amounts, ISO 4217; null where there is no amount."),
        _column("difference", TEXT, "Why the sides differ, e.g. held or not_invoiced; matched if they do not."),
        _column("explained", YES_NO, "Whether a rule says why they differ."),
        _column("next_step", TEXT, "What to do about it."),
    ],
    _PARTITION,
)
EXCEPTIONS = _table(
    "exceptions",
    "Items in trouble, whose each is and what to do next.",
    [
        _column("id", WHOLE, "Id of the item."),
        _column("code", TEXT, "What kind of trouble."),
        _column("fault_class", TEXT, "Class that decides whether it is tried again."),
        _column("owner", TEXT, "Who clears it."),
        _column("next_step", TEXT, "What to do."),
        _column("object_id", TEXT, "What is in trouble."),
        _maybe("legal_entity", TEXT, "Code of the legal entity, where known."),
        _maybe("service_month", TEXT, "Service month, where known."),
        _maybe("minutes", WHOLE, "Minutes of work that it holds back, where known."),
        _column("detail", TEXT, "What exactly is wrong."),
        _column("first_seen_at", INSTANT, "When it was first seen."),
        _column("last_seen_at", INSTANT, "When it was last seen."),
        _maybe("resolved_at", INSTANT, "When it was resolved; null while it is open."),
        _maybe("resolution", TEXT, "How it was resolved."),
    ],
)
COMPANY = _table(
    "company",
    "What holds for the group as a whole, of which there is one row.",
    [
        _column("group_currency", TEXT, "Currency that the group reports in, ISO 4217."),
        _maybe("intercompany_mark_up", MONEY, "What one entity charges another on top of cost, as a fraction."),
    ],
)
DECIDED_WORK = _table(
    "decided_work",
    "What was decided about each part of each approved fact (time, expense, milestone) and of each fee, instalment and "
    "revenue that a contract has by itself. A fact with one outcome has one part.",
    [
        _column("object_id", TEXT, "Id of the time entry, expense, milestone or contract object."),
        _column("part", WHOLE, "Number of the part, counted from 1."),
        _column("kind", TEXT, "time, expense, milestone, retainer, instalment, revenue or loss."),
        _column("legal_entity", TEXT, "Code of the legal entity that sells the work."),
        _column("service_month", TEXT, "Month in which the work was done, e.g. 2026-09."),
        _column(
            "service_date", DATE, "Local date of the work; of what a contract has by itself, the day of its effect."
        ),
        _maybe("employee_id", TEXT, "Who worked or spent; null if nobody did, or while HR does not know them."),
        _maybe("project_id", TEXT, "The project; null where there is none."),
        _maybe("contract_id", TEXT, "The contract; null if there is none."),
        _maybe("component", TEXT, "The contract's component; null if there is none."),
        _column("outcome", TEXT, "What was decided about the part: post, covered, written_off, non_billable or hold."),
        _column("minutes", WHOLE, "Minutes of work of the part; 0 where it is not about time."),
        _column(
            "recorded_as_billable",
            YES_NO,
            "Whether it was recorded as billable; true for what a contract has by itself.",
        ),
        _maybe("amount", MONEY, "What the part is worth net, billed or not; null where it has no price."),
        _maybe("bill_amount", MONEY, "What of it is to be billed; null where nothing is."),
        _maybe("currency", TEXT, "Currency of amount, ISO 4217: the contract's."),
        _maybe(
            "reason",
            TEXT,
            "Why the part has an outcome of its own, or codes of the holds; null where nothing is to be said.",
        ),
        _maybe("revision", WHOLE, "Revision of the fact, counted from 1; null for what a contract has by itself."),
    ],
)
CONTRACT_BALANCES = _table(
    "contract_balances",
    "Running totals of contracts that keep an account, by component, at the end of each month that was planned.",
    [
        _column("contract_id", TEXT, "The contract."),
        _column("component", TEXT, "Code of the contract's component."),
        _column("service_month", TEXT, "The month, e.g. 2026-09."),
        _column("currency", TEXT, "Currency of the amounts, ISO 4217: the contract's."),
        _column("billed", MONEY, "All that its lines bill, from its first month to the month's end."),
        _column("earned", MONEY, "Revenue recognized, from its first month to the month's end."),
        _column("minutes", WHOLE, "Approved minutes, from its first month to the month's end."),
    ],
)
CONTRACT_BACKLOG = _table(
    "contract_backlog",
    "What signed contracts will still earn by the month in which they will, as far as their terms say it.",
    [
        _column("contract_id", TEXT, "The contract."),
        _column("component", TEXT, "Code of the contract's component."),
        _column("as_of_month", TEXT, "Month at whose end, or within which, the backlog stands."),
        _maybe("month", TEXT, "Month to come that will earn it; null where `gap` says why none can be told."),
        _column("amount", MONEY, "What that month will earn; 0 where it cannot be told."),
        _column("currency", TEXT, "Currency of amount, ISO 4217: the contract's."),
        _maybe("gap", TEXT, "Why the component's backlog cannot be told; null where it can."),
    ],
)
ACCOUNT_BALANCES = _table(
    "account_balances",
    "What each month brings to each account of the ERP's general ledger, as the ERP adds it up, and before the first "
    "of these months what all of history has brought.",
    [
        _column("legal_entity", TEXT, "Code of the entity whose books they are."),
        _column("month", TEXT, "Month of the entries by their own date, e.g. 2026-09."),
        _column("account", TEXT, "Code of the account."),
        _maybe(
            "role",
            TEXT,
            "What the sync uses the account for, e.g. contract_balance; receivable, revenue or tax; null for others.",
        ),
        _column("posted", MONEY, "Debits less credits of posted entries."),
        _column("draft", MONEY, "Debits less credits of draft entries."),
        _column("currency", TEXT, "Currency of the amounts, ISO 4217: that of the entity's books."),
        _maybe("opening", YES_NO, "Whether it is all of history up to the month's end, and not the month alone."),
    ],
)
CREDITS = _table(
    "credits",
    "Minutes of billed entries that were credited to the customer.",
    [
        _column("id", TEXT, "Id of the credit."),
        _column("object_id", TEXT, "The entry whose minutes were credited."),
        _column("minutes", WHOLE, "Minutes that were credited."),
        _column("rebill", YES_NO, "Whether they are billed anew; otherwise they are written off."),
        _column("in_erp", YES_NO, "Whether finance made the credit line by hand."),
        _column("reason", TEXT, "Why they were credited."),
        _column("requested_at", INSTANT, "When the credit was asked for."),
    ],
)
ADJUSTMENTS = _table(
    "adjustments",
    "What people decided about single pieces of work beside the systems of record: held work that is written off, and "
    "what becomes of an effect whose accounting period is closed. Credits have a table of their own.",
    [
        _column("id", TEXT, "Id of the decision."),
        _column("kind", TEXT, "write_off or period_choice."),
        _column("object_id", TEXT, "The time entry, expense, milestone or contract object."),
        _maybe("legal_entity", TEXT, "Code of the legal entity that sells the work; null while it is unknown."),
        _maybe("service_month", TEXT, "Month in which the work was done; null while it is unknown."),
        _maybe("choice", TEXT, "Of a period choice: wait, post_to_open, by_hand or cancel."),
        _column("reason", TEXT, "Why, in the words of whoever decided."),
        _column("decided_at", INSTANT, "When it was decided."),
    ],
)

LAKE_TABLES: dict[str, LakeTable] = {
    table.name: table
    for table in (
        LEGAL_ENTITIES,
        CUSTOMERS,
        CONTRACTS,
        PROJECTS,
        EMPLOYEES,
        BILL_RATES,
        COST_RATES,
        FX_RATES,
        TAX_PROFILES,
        APPROVED_TIME,
        POSTINGS,
        ERP_BILLING_LINES,
        ERP_COST_ENTRIES,
        ERP_INTERCOMPANY_CHARGES,
        ERP_REVENUE_ENTRIES,
        ERP_INVOICES,
        ERP_PAYMENTS,
        RECONCILIATION,
        EXCEPTIONS,
        COMPANY,
        DECIDED_WORK,
        CONTRACT_BALANCES,
        CONTRACT_BACKLOG,
        ACCOUNT_BALANCES,
        CREDITS,
        ADJUSTMENTS,
    )
}
