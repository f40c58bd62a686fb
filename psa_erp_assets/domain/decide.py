"""From an approved time entry and the master data of its date to a decision: post, hold or leave alone, and why.

Pure. Every rule that stops an entry gives a hold with a code of `faults.FAULTS`; billing and cost are decided
apart, so that a missing cost rate does not delay an invoice.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.effects import BillingLine, CostTransaction, Effect, EffectType, to_payload
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.money import Rounding, for_minutes
from psa_erp_assets.domain.records import (
    ApprovalState,
    Contract,
    ContractKind,
    Employee,
    LegalEntity,
    Project,
    TimeEntry,
)

_BOTH = (EffectType.BILLING_LINE, EffectType.COST_TRANSACTION)


class Outcome(enum.StrEnum):
    """What becomes of an entry's minutes. NONE: it is not approved, so it has no financial effect."""

    POST = "post"
    NON_BILLABLE = "non_billable"
    HOLD = "hold"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Settings that decisions depend on: the ERP's rounding profile and who owns work that no contract claims."""

    rounding: Rounding
    default_legal_entity: str


@dataclass(frozen=True, slots=True)
class Route:
    """The partition of an entry, and its contract if it has one."""

    legal_entity: str
    service_month: ServiceMonth
    contract_id: str | None


@dataclass(frozen=True, slots=True)
class Hold:
    """Why an effect of this type is not posted."""

    code: str
    effect_type: EffectType
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What follows from one revision of an entry: the effects that should exist and the reasons why others do not."""

    object_id: str
    revision: int
    route: Route
    outcome: Outcome
    minutes: int
    effects: tuple[Effect, ...] = ()
    holds: tuple[Hold, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    def effect(self, effect_type: EffectType) -> Effect | None:
        """The effect of this type that should exist."""
        return next((e for e in self.effects if e.effect_type is effect_type), None)

    def hold(self, effect_type: EffectType) -> Hold | None:
        """The first reason why an effect of this type is held."""
        return next((h for h in self.holds if h.effect_type is effect_type), None)

    def to_body(self) -> dict[str, Any]:
        """The decision as a JSON body, for storing and for hashing."""
        return {
            "outcome": self.outcome.value,
            "minutes": self.minutes,
            "legal_entity": self.route.legal_entity,
            "service_month": str(self.route.service_month),
            "contract_id": self.route.contract_id,
            "effects": [to_payload(e) for e in self.effects],
            "holds": [{"code": h.code, "effect_type": h.effect_type.value, "detail": h.detail} for h in self.holds],
            "versions": dict(self.versions),
        }


def route(entry: TimeEntry, master: MasterData, rules: Rules) -> Route:
    """The partition that an entry belongs to, always exactly one.

    The selling entity of its contract; without a contract the employer's; without either the default one.
    """
    month = ServiceMonth.of(entry.service_date)
    project = master.project(entry.psa_project_id)
    contract = master.contract(project.contract_id) if project else None
    if contract is not None:
        return Route(contract.legal_entity, month, contract.id)
    employee = master.employee(entry.psa_user_id)
    return Route(employee.legal_entity if employee else rules.default_legal_entity, month, None)


def decide(entry: TimeEntry, master: MasterData, rules: Rules) -> Decision:
    """What should exist in the ERP because of this revision of this entry."""
    where = route(entry, master, rules)
    if entry.state is not ApprovalState.APPROVED or entry.minutes == 0:
        return Decision(
            object_id=entry.id, revision=entry.revision, route=where, outcome=Outcome.NONE, minutes=entry.minutes
        )
    work = _Work(entry, master, rules, where)
    work.check_parties()
    billable = entry.billable and (work.contract is None or work.contract.kind is not ContractKind.NON_BILLABLE)
    if billable:
        work.bill()
    work.cost()
    held = any(h.effect_type is EffectType.BILLING_LINE for h in work.holds)
    outcome = Outcome.NON_BILLABLE if not billable else Outcome.HOLD if held else Outcome.POST
    wanted = _BOTH if billable else (EffectType.COST_TRANSACTION,)
    return Decision(
        object_id=entry.id,
        revision=entry.revision,
        route=where,
        outcome=outcome,
        minutes=entry.minutes,
        effects=tuple(work.effects),
        holds=tuple(h for h in work.holds if h.effect_type in wanted),
        versions=work.versions,
    )


class _Work:
    """The decision in the making: collects effects, holds and the ids of the versions used."""

    def __init__(self, entry: TimeEntry, master: MasterData, rules: Rules, where: Route) -> None:
        self.entry, self.master, self.rules = entry, master, rules
        self.entity: LegalEntity | None = master.legal_entity(where.legal_entity)
        self.where = where
        self.project: Project | None = master.project(entry.psa_project_id)
        self.contract: Contract | None = master.contract(where.contract_id)
        self.employee: Employee | None = master.employee(entry.psa_user_id)
        self.effects: list[Effect] = []
        self.holds: list[Hold] = []
        self.versions: dict[str, str] = {}

    def hold(self, code: str, detail: str, *types: EffectType) -> None:
        self.holds.extend(Hold(code, t, detail) for t in types or _BOTH)

    def held(self, effect_type: EffectType) -> bool:
        return any(h.effect_type is effect_type for h in self.holds)

    def check_parties(self) -> None:
        """Whoever and whatever both effects need."""
        entry, project, contract = self.entry, self.project, self.contract
        if self.entity is None:
            self.hold("legal_entity_not_in_erp", f"{self.where.legal_entity} has no company in the ERP")
        if self.employee is None:
            self.hold("unknown_employee", f"PSA user {entry.psa_user_id} is no employee that HR knows")
        if entry.psa_project_id is None:
            self.hold("unknown_project", "the entry has no project")
        elif project is None or contract is None:
            self.hold("unknown_project", f"PSA project {entry.psa_project_id} is on no signed contract")
        else:
            self.versions |= {"project": project.id, "contract": contract.id}
            if project.closed and (project.closed_on is None or entry.service_date > project.closed_on):
                since = f" since {project.closed_on}" if project.closed_on else ""
                self.hold("project_closed", f"{project.code} {project.name} is closed{since}")
            if project.erp_analytic is None:
                self.hold("project_not_in_erp", f"{project.code} has no analytic account in {self.where.legal_entity}")
            if entry.service_date < contract.valid_from or (
                contract.valid_to and entry.service_date > contract.valid_to
            ):
                term = f"{contract.valid_from} to {contract.valid_to or 'open'}"
                self.hold("outside_contract_term", f"{entry.service_date} is outside {contract.id} ({term})")

    def bill(self) -> None:
        """The billing line of a time-and-materials contract: minutes at the rate as of the service date."""
        kind, entity, contract, project = EffectType.BILLING_LINE, self.entity, self.contract, self.project
        if entity is None or contract is None or project is None:
            return
        if contract.kind is not ContractKind.TIME_AND_MATERIALS:
            self.hold("unsupported_contract_kind", f"{contract.id} is {contract.kind.value}", kind)
            return
        customer = self.master.customer(contract.customer_id)
        if customer is None or customer.erp_party is None:
            self.hold("customer_not_in_erp", f"customer {contract.customer_id} has no party in the ERP", kind)
        tax = self.master.tax_profile(entity.code, customer.country) if customer else None
        if customer is not None and tax is None:
            self.hold("no_tax_profile", f"{entity.code} has no tax profile for {customer.country}", kind)
        elif tax is not None and not tax.active:
            self.hold("tax_inactive", f"tax {tax.erp_tax} of profile {tax.id} is inactive in the ERP", kind)
        conversion = self.master.conversion(contract.currency, entity.currency, self.entry.service_date)
        if conversion is None:
            pair = f"{contract.currency}/{entity.currency}"
            self.hold("no_fx_rate", f"no {pair} rate on or before {self.entry.service_date}", kind)
        if self.employee is None:
            return
        rate = self.master.bill_rate(project.id, self.employee.id, self.entry.service_date)
        if rate is None:
            self.hold("no_bill_rate", f"no rate for {self.employee.id} on {project.code}", kind)
        elif rate.per_hour.currency != contract.currency:
            self.hold(
                "rate_currency_mismatch",
                f"rate in {rate.per_hour.currency}, {contract.id} in {contract.currency}",
                kind,
            )
        if self.held(kind) or customer is None or tax is None or conversion is None or rate is None:
            return
        assert customer.erp_party is not None
        assert project.erp_analytic is not None
        self.versions |= {"customer": customer.id, "bill_rate": rate.id, "tax_profile": tax.id}
        if conversion.rate_ids:
            self.versions["billing_fx"] = ",".join(conversion.rate_ids)
        self.effects.append(
            BillingLine(
                erp_company=entity.erp_company,
                party=customer.erp_party,
                analytic=project.erp_analytic,
                employee_name=self.employee.name,
                service_date=self.entry.service_date,
                minutes=self.entry.minutes,
                per_hour=rate.per_hour,
                amount=for_minutes(rate.per_hour, self.entry.minutes).rounded(self.rules.rounding),
                tax=tax.erp_tax,
                description=self.entry.description,
            )
        )

    def cost(self) -> None:
        """The labor cost in the currency of the entity that sells the work, at the FX rate of the service date."""
        kind, entity, employee, project = EffectType.COST_TRANSACTION, self.entity, self.employee, self.project
        if entity is None or employee is None or project is None:
            return
        rate = self.master.cost_rate(employee.id, self.entry.service_date)
        if rate is None:
            self.hold("no_cost_rate", f"no cost rate for {employee.id} on {self.entry.service_date}", kind)
            return
        conversion = self.master.conversion(rate.per_hour.currency, entity.currency, self.entry.service_date)
        if conversion is None:
            pair = f"{rate.per_hour.currency}/{entity.currency}"
            self.hold("no_fx_rate", f"no {pair} rate on or before {self.entry.service_date}", kind)
            return
        if self.held(kind) or project.erp_analytic is None:
            return
        self.versions["cost_rate"] = rate.id
        if conversion.rate_ids:
            self.versions["cost_fx"] = ",".join(conversion.rate_ids)
        exact = for_minutes(rate.per_hour, self.entry.minutes).converted(conversion.rate, entity.currency)
        self.effects.append(
            CostTransaction(
                erp_company=entity.erp_company,
                analytic=project.erp_analytic,
                employee_name=employee.name,
                service_date=self.entry.service_date,
                minutes=self.entry.minutes,
                per_hour=rate.per_hour,
                amount=exact.rounded(self.rules.rounding),
                description=self.entry.description,
            )
        )
