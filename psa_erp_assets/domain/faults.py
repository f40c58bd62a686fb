"""Exception classes: what kind of trouble it is, whose it is, and what to do next.

Every code that the sync can raise against an item stands here once, so that the console, the summary and the
tests speak of the same things.
"""

import enum
from dataclasses import dataclass


class FaultClass(enum.StrEnum):
    """The taxonomy that decides whether and how an item is tried again."""

    TRANSIENT = "transient"
    DATA = "data"
    MAPPING = "mapping"
    ACCOUNTING_RULE = "accounting_rule"
    AUTH = "auth"
    BUG = "bug"
    AMBIGUOUS = "ambiguous"
    CONFLICT = "conflict"
    DUPLICATE = "duplicate"


class Owner(enum.StrEnum):
    """Who clears it."""

    FINANCE_OPERATIONS = "finance_operations"
    INTEGRATION_ENGINEERING = "integration_engineering"
    APPLICATION_OWNERS = "application_owners"


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of trouble: its class, its owner and the next step, in words an operator can act on."""

    code: str
    fault_class: FaultClass
    owner: Owner
    next_step: str


_FINANCE, _ENGINEERING, _APPLICATIONS = (
    Owner.FINANCE_OPERATIONS,
    Owner.INTEGRATION_ENGINEERING,
    Owner.APPLICATION_OWNERS,
)

FAULTS: dict[str, Fault] = {
    f.code: f
    for f in (
        Fault("malformed_record", FaultClass.DATA, _APPLICATIONS,
              "Correct the record in its source system; the next extraction picks it up."),
        Fault("legal_entity_not_in_erp", FaultClass.MAPPING, _FINANCE,
              "Make the ERP company's name and currency those of data/config/company.yaml, or give its id there."),
        Fault("mapping_conflict", FaultClass.CONFLICT, _APPLICATIONS,
              "Look at the conflict under Mappings in the console and end one of the two statements as it says."),
        Fault("field_drift", FaultClass.CONFLICT, _APPLICATIONS,
              "Make the two systems agree: `psa-erp mappings drift` shows both values and whose counts."),
        Fault("unknown_employee", FaultClass.MAPPING, _APPLICATIONS,
              "Give the PSA user the same work e-mail as in HR, or add the employee to HR."),
        Fault("unknown_project", FaultClass.MAPPING, _APPLICATIONS,
              "Record the project on a signed deal in the CRM, then sync the master data."),
        Fault("project_not_in_erp", FaultClass.MAPPING, _FINANCE,
              "Create the project's analytic account in the ERP with the project's code, then sync."),
        Fault("customer_not_in_erp", FaultClass.MAPPING, _FINANCE,
              "Create the customer in the ERP with its customer code, then sync."),
        Fault("unknown_contract", FaultClass.MAPPING, _FINANCE,
              "Sign the contract in the CRM, or correct the contract code of the milestone's project."),
        Fault("malformed_terms", FaultClass.DATA, _FINANCE,
              "Correct or complete the deal's billing terms in the CRM as the detail says; the next sync reads them."),
        Fault("no_component", FaultClass.MAPPING, _FINANCE,
              "Name the project or the milestone's component in the contract's billing terms in the CRM."),
        Fault("cap_reached", FaultClass.ACCOUNTING_RULE, _FINANCE,
              "Raise the cap by an amendment in the CRM, or let its terms write off what is beyond."),
        Fault("retainer_exhausted", FaultClass.ACCOUNTING_RULE, _FINANCE,
              "Agree more hours by an amendment in the CRM, or let the terms bill or write off what is beyond."),
        Fault("milestone_over_fee", FaultClass.ACCOUNTING_RULE, _FINANCE,
              "Correct the milestone's amount in the PSA, or raise the fee by an amendment in the CRM."),
        Fault("plan_awaits_approval", FaultClass.ACCOUNTING_RULE, _FINANCE,
              "Look at the plan and approve or reject it: `psa-erp plan show ID`, `psa-erp plan approve ID`."),
        Fault("credited_in_erp", FaultClass.ACCOUNTING_RULE, _FINANCE,
              "Record what the credit note means: `psa-erp credit` with --rebill or --write-off."),
        Fault("tax_differs", FaultClass.ACCOUNTING_RULE, _FINANCE,
              "Compare the invoice's tax with the profile in data/config/tax_profiles.yaml; correct the wrong one."),
        Fault("outside_contract_term", FaultClass.ACCOUNTING_RULE, _FINANCE,
              "Extend the contract in the CRM, or have the entry moved or marked non-billable."),
        Fault("project_closed", FaultClass.ACCOUNTING_RULE, _FINANCE,
              "Reopen the project, or have the entry moved to an open one."),
        Fault("no_bill_rate", FaultClass.DATA, _FINANCE,
              "Set the hourly rate of the project or of the person on it in the PSA."),
        Fault("rate_currency_mismatch", FaultClass.DATA, _FINANCE,
              "Make the PSA rate's currency that of the contract."),
        Fault("no_cost_rate", FaultClass.DATA, _APPLICATIONS,
              "Record the employee's compensation in HR with an effective date on or before the work."),
        Fault("no_fx_rate", FaultClass.DATA, _FINANCE,
              "Enter the currency's rate in the ERP; the item is released by the next sync."),
        Fault("no_tax_profile", FaultClass.ACCOUNTING_RULE, _FINANCE,
              "Add a tax profile for this entity and customer country in data/config/tax_profiles.yaml."),
        Fault("tax_inactive", FaultClass.ACCOUNTING_RULE, _FINANCE,
              "Choose an active tax for this entity and country: the ERP would post an inactive one at its old rate."),
        Fault("period_closed", FaultClass.ACCOUNTING_RULE, _FINANCE,
              "Reopen the period, post to the first open one with a reference, journal by hand, or cancel."),
        Fault("posting_rejected", FaultClass.ACCOUNTING_RULE, _FINANCE,
              "Read the ERP's message, correct the cause, then replay the posting."),
        Fault("posting_ambiguous", FaultClass.AMBIGUOUS, _ENGINEERING,
              "Wait: it is looked up in the ERP before anything is sent again. Older than an hour: check the ERP."),
        Fault("posting_conflict", FaultClass.CONFLICT, _ENGINEERING,
              "The ERP holds another document under this key. Compare the two, then resolve by hand."),
        Fault("posting_duplicate", FaultClass.DUPLICATE, _ENGINEERING,
              "The ERP holds more than one document under this key. Delete or reverse the surplus, then try it again."),
        Fault("posting_drift", FaultClass.CONFLICT, _FINANCE,
              "The ERP's document differs from what was sent. Correct it there, or accept it with a note."),
        Fault("document_missing", FaultClass.CONFLICT, _FINANCE,
              "A posted draft has gone from the ERP without the sync. Find out who deleted it, then get a new key."),
        Fault("key_reused", FaultClass.BUG, _ENGINEERING,
              "One key met two payloads. The object is stopped; report it with its trace."),
        Fault("erp_unreachable", FaultClass.TRANSIENT, _ENGINEERING,
              "Start or reach the ERP; nothing was lost and the next run goes on."),
        Fault("webhook_quarantined", FaultClass.BUG, _ENGINEERING,
              "Correct the object in its source system, or report the error; its next webhook reads it again."),
        Fault("source_unreachable", FaultClass.TRANSIENT, _ENGINEERING,
              "Check the source system's address and status; the next sweep goes on where this one stopped."),
        Fault("erp_auth", FaultClass.AUTH, _ENGINEERING,
              "Renew the ERP credentials; the paused connection resumes by itself."),
        Fault("source_auth", FaultClass.AUTH, _ENGINEERING,
              "Renew the source's API key; the paused connection resumes by itself."),
    )
}  # fmt: skip

LIMITS = frozenset({"cap_reached", "retainer_exhausted", "milestone_over_fee"})
"""What a contract's own numbers stop. Unlike a gap in master data, it takes back what was posted before it held."""
