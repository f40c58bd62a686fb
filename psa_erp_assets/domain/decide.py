"""From one approved fact and the master data of its date to a decision: post, hold or leave alone, and why.

Pure. Every rule that stops a fact gives a hold with a code of `faults.FAULTS`; billing and cost are decided apart, so
that a missing cost rate does not delay an invoice. Rules that need a contract's other work (caps, retainers, rounding
of the running total) are no part of this: `account` applies them to the decisions that are made here.

A `Decider` keeps what it found for a person, a project and a date: a month has many entries and few of those.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import assert_never

from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.costing import CostGap, CostPolicy, LaborRate, cost_of, labor_rate
from psa_erp_assets.domain.decision import Decision, Hold, Mode, Outcome, Route
from psa_erp_assets.domain.effects import BilledTo, BillingLine, Effect, EffectType
from psa_erp_assets.domain.expenses import ExpenseGap, expense_cost, rebill
from psa_erp_assets.domain.master import MasterData
from psa_erp_assets.domain.money import Money, Rounding, worth
from psa_erp_assets.domain.pricing import PriceGap, Rate, billed_minutes, rate_for
from psa_erp_assets.domain.records import (
    ApprovalState,
    Contract,
    Customer,
    Employee,
    Expense,
    LegalEntity,
    Milestone,
    Project,
    TimeEntry,
    WorkItem,
)
from psa_erp_assets.domain.rollout import Rollout
from psa_erp_assets.domain.stretches import Kept, Stretches
from psa_erp_assets.domain.tax import check_profile
from psa_erp_assets.domain.terms import Component, ContractKind, Overage, PricingTerms, Recognition

EXPENSES = "expenses"
"""The supply that a tax profile names where passed-on expenses are taxed in their own way."""

ABOUT_THE_WORK = frozenset(
    {
        "legal_entity_not_in_erp",
        "unknown_employee",
        "unknown_project",
        "project_closed",
        "project_not_in_erp",
        "outside_contract_term",
        "no_component",
    }
)
"""Holds of work however it is paid for. Others hold a billing line alone: its price, its buyer, its tax."""

MAY_LEAVE = frozenset({"outside_contract_term", "project_closed"})
"""Holds of work that may yet be moved to another project: while it is held it uses none of its contract's limits."""

_BILLING, _COST = EffectType.BILLING_LINE, EffectType.COST_TRANSACTION
_FIXED_FEE = frozenset({ContractKind.FIXED_FEE_MILESTONE, ContractKind.FIXED_FEE_SCHEDULE})
_FX_VERSIONS = frozenset({"billing_fx", "cost_fx", "charge_fx"})
_Kind = tuple[str, str | None, str | None, tuple[str, ...], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Settings that decisions depend on: the ERP's rounding profile, who owns work that no contract claims, how cost
    passes between entities, and how far each entity and contract type have been rolled out.
    """

    rounding: Rounding
    default_legal_entity: str
    cost: CostPolicy = field(default_factory=CostPolicy)
    rollout: Rollout = field(default_factory=Rollout)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A reason to hold, before it is known which effects it stops."""

    code: str
    detail: str

    def hold(self, effect_type: EffectType) -> Hold:
        """It stops an effect of this type."""
        return Hold(self.code, effect_type, self.detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parties:
    """Who and what a fact is about, as of its date, and what is wrong with them.

    `pricing` is how billable time is priced, None where it needs no price.
    """

    where: Route
    mode: Mode
    entity: LegalEntity | None
    project: Project | None
    contract: Contract | None
    component: Component | None
    employee: Employee | None
    analytic: str | None
    pricing: PricingTerms | None
    troubles: tuple[Trouble, ...]
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Buyer:
    """Who is billed and how it is taxed. `party` is None where something is wrong, which `troubles` say."""

    party: str | None
    tax: str | None
    troubles: tuple[Trouble, ...]
    versions: Mapping[str, str]

    @property
    def lasts(self) -> bool:
        """Whether it is the same on the other days on which no record changes."""
        return not self.troubles and _FX_VERSIONS.isdisjoint(self.versions)


@dataclass(slots=True)
class _Draft:
    """A decision in the making."""

    effects: list[Effect] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    held_rate: Money | None = None

    def held(self, effect_type: EffectType) -> bool:
        return any(h.effect_type is effect_type for h in self.holds)

    def decision(
        self, item: WorkItem, where: Route, outcome: Outcome, *, component: Component | None, mode: Mode
    ) -> Decision:
        return Decision(
            object_id=item.id,
            revision=item.revision,
            route=where,
            outcome=outcome,
            minutes=item.minutes if isinstance(item, TimeEntry) else 0,
            effects=tuple(self.effects),
            holds=tuple(self.holds),
            versions=self.versions,
            component=component.code if component else None,
            reasons=tuple(self.reasons),
            mode=mode,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Billing:
    """How the minutes of a person on a project and date are billed."""

    erp_company: str
    party: str
    analytic: str
    employee_name: str
    rate: Rate
    tax: str | None
    account: BilledTo
    pricing: PricingTerms

    def line(self, entry: TimeEntry, rounding: Rounding) -> BillingLine:
        """The line of an entry."""
        minutes = billed_minutes(entry.minutes, self.pricing)
        return BillingLine(
            erp_company=self.erp_company,
            party=self.party,
            analytic=self.analytic,
            employee_name=self.employee_name,
            service_date=entry.service_date,
            minutes=minutes,
            per_hour=self.rate.per_hour,
            amount=worth(self.rate.per_hour, minutes, rounding),
            tax=self.tax,
            description=entry.description,
            account=self.account,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _TimeTerms:
    """What follows for time of one person, project, date, task and kind of work, however many minutes there are.

    All but what it costs, which depends on the person and the FX rates of the day alone.
    """

    who: Parties
    outcome: Outcome
    billing: _Billing | None
    holds: tuple[Hold, ...]
    versions: Mapping[str, str]
    reasons: tuple[str, ...]
    held_rate: Money | None

    @property
    def lasts(self) -> bool:
        """Whether it is the same on the other days on which no record changes."""
        return not self.holds and _FX_VERSIONS.isdisjoint(self.versions)


def route(item: WorkItem, master: MasterData, rules: Rules) -> Route:
    """The partition that a fact belongs to, always exactly one.

    The selling entity of its contract on its date; without a contract the employer's; without either the default one.
    """
    return Decider(master, rules).route(item)


def decide(item: WorkItem, master: MasterData, rules: Rules) -> Decision:
    """What should exist in the ERP because of this revision of this fact, as far as it can be told from it alone."""
    return Decider(master, rules).decide(item)


class Decider:
    """Decides about many facts from one state of the master data."""

    def __init__(self, master: MasterData, rules: Rules) -> None:
        self.master, self.rules = master, rules
        stretches = Stretches(master, rules.rollout)
        self._parties_of = Kept[tuple[str, str | None], Parties](stretches, lambda who: not who.troubles)
        self._buyer_of = Kept[tuple[str, str, str | None], Buyer](stretches, lambda buyer: buyer.lasts)
        self._labor_of = Kept[tuple[str, str], LaborRate | CostGap](stretches, _is_of_no_day)
        self._terms_of = Kept[_Kind, _TimeTerms](stretches, lambda terms: terms.lasts)

    def route(self, item: WorkItem) -> Route:
        """The partition that a fact belongs to."""
        if isinstance(item, Milestone):
            return self._contract_route(item.contract_id, item.service_date)
        return self.parties(item.psa_user_id, item.psa_project_id, item.service_date).where

    def decide(self, item: WorkItem) -> Decision:
        """What should exist because of this fact by itself."""
        match item:
            case TimeEntry():
                return self._time(item)
            case Expense():
                return self._expense(item)
            case Milestone():
                return self._milestone(item)
            case _:
                assert_never(item)

    def parties(self, psa_user_id: str, psa_project_id: str | None, on: dt.date) -> Parties:
        """Person, project, contract and entity of work on a date."""
        key = (psa_user_id, psa_project_id)
        return self._parties_of.get(key, on, lambda: self._find_parties(psa_user_id, psa_project_id, on))

    def buyer(self, contract: Contract, entity: LegalEntity, on: dt.date, supply: str | None = None) -> Buyer:
        """Customer and tax of a contract (as of the date) when something is supplied on a date."""
        key = (contract.id, entity.code, supply)
        return self._buyer_of.get(key, on, lambda: self._find_buyer(contract, entity, on, supply))

    def mode(self, legal_entity: str, contract: Contract | None, on: dt.date) -> Mode:
        """How far the entity and the contract's type have been rolled out on a date."""
        return self.rules.rollout.mode(legal_entity, contract.kind if contract else None, on)

    def _contract_route(self, contract_id: str, on: dt.date) -> Route:
        contract = self.master.contract_as_of(contract_id, on)
        entity = contract.legal_entity if contract else self.rules.default_legal_entity
        return Route(entity, ServiceMonth.of(on), contract_id if contract else None)

    def _find_parties(self, psa_user_id: str, psa_project_id: str | None, on: dt.date) -> Parties:
        master, troubles, versions = self.master, list[Trouble](), dict[str, str]()
        project, employee = master.project(psa_project_id, on), master.employee(psa_user_id, on)
        contract = master.contract_as_of(project.contract_id, on) if project and project.contract_id else None
        component = contract.terms.component_for(project.code) if contract and project else None
        if contract is not None:
            code = contract.legal_entity
        else:
            code = employee.legal_entity if employee else self.rules.default_legal_entity
        entity = master.legal_entity(code)
        if entity is None:
            troubles.append(Trouble("legal_entity_not_in_erp", f"{code} has no company in the ERP"))
        if employee is None:
            troubles.append(Trouble("unknown_employee", f"PSA user {psa_user_id} is no employee that HR knows"))
        troubles += self._contested(("employee", employee), ("project", project), ("contract", contract))
        if psa_project_id is None:
            troubles.append(Trouble("unknown_project", "the entry has no project"))
        elif project is None or contract is None:
            troubles.append(Trouble("unknown_project", f"PSA project {psa_project_id} is on no signed contract"))
        else:
            versions = {"project": project.id, "contract": contract.id}
            troubles += _project_troubles(project, contract, component, entity, on)
        return Parties(
            where=Route(code, ServiceMonth.of(on), contract.id if contract else None),
            mode=self.mode(code, contract, on),
            entity=entity,
            project=project,
            contract=contract,
            component=component,
            employee=employee,
            analytic=project.analytic_in(entity.erp_company) if project and entity else None,
            pricing=contract.terms.pricing if contract and component and _needs_price(component) else None,
            troubles=tuple(troubles),
            versions=versions,
        )

    def _find_buyer(self, contract: Contract, entity: LegalEntity, on: dt.date, supply: str | None) -> Buyer:
        troubles: list[Trouble] = []
        customer = self.master.customer(contract.customer_id, on)
        party = customer.erp_party if customer else None
        if customer is None or party is None:
            detail = f"customer {contract.customer_id} has no party in the ERP"
            troubles.append(Trouble("customer_not_in_erp", detail))
        troubles += self._contested(("customer", customer))
        country = customer.country if customer else None
        tax = self.master.tax_profile(entity.code, country, supply=supply, on=on) if country else None
        if country is not None and (fault := check_profile(tax, on)) is not None:
            detail = (
                f"{entity.code} has no tax profile for {country}"
                if tax is None
                else f"tax {tax.erp_tax} of profile {tax.id} is inactive in the ERP, or not in force on {on}"
            )
            troubles.append(Trouble(fault, detail))
        conversion = self.master.conversion(contract.currency, entity.currency, on)
        if conversion is None:
            pair = f"{contract.currency}/{entity.currency}"
            troubles.append(Trouble("no_fx_rate", f"no {pair} rate on or before {on}"))
        versions = {"customer": contract.customer_id}
        if tax is not None:
            versions["tax_profile"] = tax.id
        if conversion is not None and conversion.rate_ids:
            versions["billing_fx"] = ",".join(conversion.rate_ids)
        return Buyer(
            party=None if troubles else party,
            tax=tax.erp_tax if tax else None,
            troubles=tuple(troubles),
            versions=versions,
        )

    def _contested(self, *records: tuple[str, Employee | Project | Contract | Customer | None]) -> list[Trouble]:
        """A trouble for each record about which two systems do not agree, where the settings hold work for that."""
        contested = self.master.contested
        if not contested:
            return []
        found = [contested.get((entity, record.id)) for entity, record in records if record is not None]
        return [Trouble("field_drift", detail) for detail in found if detail is not None]

    def _time(self, entry: TimeEntry) -> Decision:
        who = self.parties(entry.psa_user_id, entry.psa_project_id, entry.service_date)
        if entry.state is not ApprovalState.APPROVED or entry.minutes == 0:
            return _nothing(entry, who.where, entry.minutes, who.mode)
        terms = self._terms_of.get(self._kind(entry, who), entry.service_date, lambda: self._time_terms(entry, who))
        rounding, effects = self.rules.rounding, list[Effect]()
        holds, versions, reasons = terms.holds, terms.versions, terms.reasons
        if terms.billing is not None:
            line = terms.billing.line(entry, rounding)
            effects.append(line)
            if line.minutes != entry.minutes:
                reasons = (*reasons, f"{entry.minutes} min rounded up to {line.minutes}")
        labor = self._labor(who, entry.service_date)
        if isinstance(labor, CostGap):
            holds = (*holds, Hold(labor.code, _COST, labor.detail))
        elif labor is not None and not who.troubles and who.analytic is not None:
            versions = {**versions, **labor.versions}
            costed = cost_of(labor, entry, analytic=who.analytic, rounding=rounding)
            effects.append(costed.cost)
            if costed.charge is not None:
                effects.append(costed.charge)
        return Decision(
            object_id=entry.id,
            revision=entry.revision,
            route=who.where,
            outcome=terms.outcome,
            minutes=entry.minutes,
            effects=tuple(effects),
            holds=holds,
            versions=versions,
            component=who.component.code if who.component else None,
            reasons=reasons,
            mode=who.mode,
            held_rate=terms.held_rate,
        )

    def _kind(self, entry: TimeEntry, who: Parties) -> _Kind:
        """What the terms of an entry depend on beside its date: of its task and work, only what a price depends on."""
        task, work_types = None, tuple[str, ...]()
        if entry.billable and who.pricing is not None:
            task = entry.task if self.master.prices_task(entry.task) else None
            work_types = tuple(t for t in entry.work_types if t in who.pricing.multipliers)
        return entry.psa_user_id, entry.psa_project_id, task, work_types, entry.billable

    def _time_terms(self, entry: TimeEntry, who: Parties) -> "_TimeTerms":
        """All about an entry's billing that does not depend on its minutes, and what is wrong with the work itself."""
        draft = _Draft(versions=dict(who.versions))
        billable = entry.billable and (who.component is None or who.component.kind is not ContractKind.NON_BILLABLE)
        covered = billable and who.component is not None and _is_covered(who.component)
        billing = None
        if billable:
            draft.holds += [t.hold(_BILLING) for t in who.troubles]
            if who.pricing is not None:
                billing = self._billing(entry, who, who.pricing, draft)
        draft.holds += [t.hold(_COST) for t in who.troubles]
        if not billable:
            outcome = Outcome.NON_BILLABLE
        elif draft.held(_BILLING):
            outcome = Outcome.HOLD
        else:
            outcome = Outcome.COVERED if covered else Outcome.POST
        return _TimeTerms(
            who=who,
            outcome=outcome,
            billing=billing,
            holds=tuple(draft.holds),
            versions=draft.versions,
            reasons=tuple(draft.reasons),
            held_rate=draft.held_rate,
        )

    def _billing(self, entry: TimeEntry, who: Parties, pricing: PricingTerms, draft: _Draft) -> "_Billing | None":
        """How minutes are billed at the rate as of the service date."""
        entity, contract, project, employee = who.entity, who.contract, who.project, who.employee
        if contract is None or project is None or who.component is None:
            return None
        buyer = self.buyer(contract, entity, entry.service_date) if entity is not None else None
        if buyer is not None:
            draft.holds += [t.hold(_BILLING) for t in buyer.troubles]
        if employee is None:
            return None
        rate = rate_for(
            contract=contract,
            project=project,
            employee=employee,
            task=entry.task,
            work_types=entry.work_types,
            on=entry.service_date,
            master=self.master,
        )
        if isinstance(rate, PriceGap):
            draft.holds.append(Hold(rate.code, _BILLING, rate.detail))
            return None
        if draft.held(_BILLING) or entity is None or buyer is None or buyer.party is None or who.analytic is None:
            draft.held_rate = rate.per_hour
            return None
        draft.versions |= {**buyer.versions, "bill_rate": rate.rate_id}
        draft.reasons += rate.reasons
        return _Billing(
            erp_company=entity.erp_company,
            party=buyer.party,
            analytic=who.analytic,
            employee_name=employee.name,
            rate=rate,
            tax=buyer.tax,
            account=billed_to(who.component),
            pricing=pricing,
        )

    def _labor(self, who: Parties, on: dt.date) -> LaborRate | CostGap | None:
        """What an hour costs the entity that sells the work, at the FX rates of the service date."""
        entity, employee = who.entity, who.employee
        if entity is None or employee is None or who.project is None:
            return None
        return self._labor_of.get(
            (employee.id, entity.code),
            on,
            lambda: labor_rate(
                employee=employee,
                selling=entity,
                employing=self.master.legal_entity(employee.legal_entity),
                on=on,
                master=self.master,
                policy=self.rules.cost,
            ),
        )

    def _expense(self, expense: Expense) -> Decision:
        who = self.parties(expense.psa_user_id, expense.psa_project_id, expense.service_date)
        if expense.state is not ApprovalState.APPROVED:
            return _nothing(expense, who.where, 0, who.mode)
        draft = _Draft(versions=dict(who.versions))
        draft.holds += [t.hold(_COST) for t in who.troubles]
        contract, entity = who.contract, who.entity
        billable = expense.billable and (contract is None or contract.terms.expenses.billable)
        if billable:
            draft.holds += [t.hold(_BILLING) for t in who.troubles]
            if contract is not None and entity is not None:
                self._bill_expense(expense, contract, entity, who, draft)
        if entity is not None and who.analytic is not None and who.employee is not None:
            cost = expense_cost(
                expense,
                employee=who.employee,
                selling=entity,
                employing=self.master.legal_entity(who.employee.legal_entity),
                analytic=who.analytic,
                master=self.master,
                rounding=self.rules.rounding,
            )
            if isinstance(cost, ExpenseGap):
                draft.holds.append(Hold(cost.code, _COST, cost.detail))
            elif not draft.held(_COST):
                draft.versions |= cost.versions
                draft.effects.append(cost.cost)
                if cost.charge is not None:
                    draft.effects.append(cost.charge)
        held = draft.held(_BILLING)
        outcome = Outcome.NON_BILLABLE if not billable else Outcome.HOLD if held else Outcome.POST
        return draft.decision(expense, who.where, outcome, component=who.component, mode=who.mode)

    def _bill_expense(
        self, expense: Expense, contract: Contract, entity: LegalEntity, who: Parties, draft: _Draft
    ) -> None:
        """The receipt in the contract's currency, limited and marked up as the contract says."""
        terms = contract.terms.expenses
        buyer = self.buyer(contract, entity, expense.service_date, supply=terms.tax_profile)
        draft.holds += [t.hold(_BILLING) for t in buyer.troubles]
        billed = rebill(
            expense,
            terms=terms,
            contract_currency=contract.currency,
            master=self.master,
            rounding=self.rules.rounding,
        )
        if isinstance(billed, ExpenseGap):
            draft.holds.append(Hold(billed.code, _BILLING, billed.detail))
            return
        if draft.held(_BILLING) or buyer.party is None or who.analytic is None:
            return
        draft.versions |= {**buyer.versions, **billed.versions}
        draft.reasons += billed.reasons
        if not billed.amount.amount:
            return
        draft.effects.append(
            BillingLine(
                erp_company=entity.erp_company,
                party=buyer.party,
                analytic=who.analytic,
                employee_name=who.employee.name if who.employee else "",
                service_date=expense.service_date,
                minutes=0,
                per_hour=None,
                amount=billed.amount,
                tax=buyer.tax,
                description=f"{expense.category}: {expense.description}",
            )
        )

    def _milestone(self, milestone: Milestone) -> Decision:
        on = milestone.service_date
        where = self._contract_route(milestone.contract_id, on)
        contract = self.master.contract_as_of(milestone.contract_id, on)
        mode = self.mode(where.legal_entity, contract, on)
        if milestone.state is not ApprovalState.APPROVED:
            return _nothing(milestone, where, 0, mode)
        draft = _Draft()
        entity = self.master.legal_entity(where.legal_entity)
        component = None
        if contract is None:
            detail = f"{milestone.contract_id} is no signed contract"
            draft.holds.append(Hold("unknown_contract", _BILLING, detail))
        else:
            component = next((c for c in contract.terms.components if c.code == milestone.component), None)
            draft.versions["contract"] = contract.id
            if component is None or component.kind is not ContractKind.FIXED_FEE_MILESTONE:
                detail = f"{contract.id} has no fixed fee by milestone called {milestone.component!r}"
                draft.holds.append(Hold("no_component", _BILLING, detail))
            elif milestone.amount.currency != contract.currency:
                detail = f"milestone in {milestone.amount.currency}, {contract.id} in {contract.currency}"
                draft.holds.append(Hold("rate_currency_mismatch", _BILLING, detail))
            draft.holds += [t.hold(_BILLING) for t in _term_troubles(contract, on)]
        if entity is None:
            detail = f"{where.legal_entity} has no company in the ERP"
            draft.holds.append(Hold("legal_entity_not_in_erp", _BILLING, detail))
        if contract is not None and entity is not None and component is not None:
            line = self.fee_line(
                contract,
                component,
                entity,
                on=on,
                amount=milestone.amount.rounded(self.rules.rounding),
                description=milestone.label,
            )
            if isinstance(line, tuple):
                draft.holds += [t.hold(_BILLING) for t in line]
            elif not draft.holds:
                draft.effects.append(line)
                draft.versions |= self.buyer(contract, entity, on).versions
        outcome = Outcome.HOLD if draft.holds else Outcome.POST
        return draft.decision(milestone, where, outcome, component=component, mode=mode)

    def fee_line(
        self,
        contract: Contract,
        component: Component,
        entity: LegalEntity,
        *,
        on: dt.date,
        amount: Money,
        description: str,
    ) -> BillingLine | tuple[Trouble, ...]:
        """A line of one unit at an amount, for the contract itself; or what stands in its way."""
        buyer = self.buyer(contract, entity, on)
        analytic = self.analytic(contract, component, entity)
        troubles = list(buyer.troubles)
        if analytic is None:
            detail = f"no project of {contract.id} has an analytic account in {entity.code}"
            troubles.append(Trouble("project_not_in_erp", detail))
        if troubles or analytic is None or buyer.party is None:
            return tuple(troubles)
        return BillingLine(
            erp_company=entity.erp_company,
            party=buyer.party,
            analytic=analytic,
            employee_name="",
            service_date=on,
            minutes=0,
            per_hour=None,
            amount=amount,
            tax=buyer.tax,
            description=description,
            account=billed_to(component),
        )

    def analytic(self, contract: Contract, component: Component, entity: LegalEntity) -> str | None:
        """The analytic account of what a contract itself posts in an entity's company.

        That of the first project that the component covers and the company has an account for.
        """
        for project in self.master.projects_of(contract.id):
            account = project.analytic_in(entity.erp_company)
            if account is not None and contract.terms.component_for(project.code) == component:
                return account
        return None


def billed_to(component: Component) -> BilledTo:
    """The account that a component's lines credit."""
    as_billed = component.recognition.method is Recognition.AS_BILLED
    return BilledTo.REVENUE if as_billed else BilledTo.CONTRACT_BALANCE


def _needs_price(component: Component) -> bool:
    """Whether time is billed by the hour."""
    return component.kind is not ContractKind.NON_BILLABLE and not _is_covered(component)


def _is_covered(component: Component) -> bool:
    """Whether time needs no price: a fee pays for it, or nobody will pay for what the retainer does not cover."""
    if component.retainer is not None:
        return component.retainer.overage is not Overage.BILL
    return component.kind in _FIXED_FEE


def _project_troubles(
    project: Project, contract: Contract, component: Component | None, entity: LegalEntity | None, on: dt.date
) -> list[Trouble]:
    troubles = []
    if project.closed and (project.closed_on is None or on > project.closed_on):
        since = f" since {project.closed_on}" if project.closed_on else ""
        troubles.append(Trouble("project_closed", f"{project.code} {project.name} is closed{since}"))
    if entity is not None and project.analytic_in(entity.erp_company) is None:
        detail = f"{project.code} has no analytic account in the company of {entity.code}, which sells it on {on}"
        troubles.append(Trouble("project_not_in_erp", detail))
    troubles += _term_troubles(contract, on)
    if component is None:
        troubles.append(Trouble("no_component", f"no component of {contract.id} covers {project.code}"))
    return troubles


def _term_troubles(contract: Contract, on: dt.date) -> list[Trouble]:
    if contract.valid_from <= on and (contract.valid_to is None or on <= contract.valid_to):
        return []
    term = f"{contract.valid_from} to {contract.valid_to or 'open'}"
    return [Trouble("outside_contract_term", f"{on} is outside {contract.id} ({term})")]


def _nothing(item: WorkItem, where: Route, minutes: int, mode: Mode) -> Decision:
    return Decision(
        object_id=item.id, revision=item.revision, route=where, outcome=Outcome.NONE, minutes=minutes, mode=mode
    )


def _is_of_no_day(rate: LaborRate | CostGap) -> bool:
    """Whether it is the same on the other days on which no record changes."""
    return isinstance(rate, LaborRate) and _FX_VERSIONS.isdisjoint(rate.versions)
