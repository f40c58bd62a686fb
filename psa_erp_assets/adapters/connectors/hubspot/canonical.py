"""From HubSpot's records to facts. Pure: no I/O, no clock.

Documentation: https://developers.hubspot.com/docs/api-reference/crm-deals-v3, schema
SimplePublicObjectWithAssociations: property values are texts or null, whatever their type in the portal.

Every function raises MalformedRecordError for a record that it cannot understand.
"""

import datetime as dt
from dataclasses import replace

from psa_erp_assets.adapters.connectors.reading import Record, currency, date, optional_text, part, parts, text
from psa_erp_assets.domain.facts import CompanyFacts, DealFacts
from psa_erp_assets.domain.malformed import MalformedRecordError
from psa_erp_assets.domain.terms import ContractKind
from psa_erp_assets.domain.terms_text import MalformedTermsError, terms_from_text

SIGNED_STAGE = "closedwon"
"""The deal stage of a signed contract in HubSpot's default sales pipeline."""

_PRIMARY_COMPANY = "deal_to_company"


def company_facts(company: Record) -> CompanyFacts:
    """A company with COMPANY_PROPERTIES."""
    values = part(company, "properties")
    country = text(values, "country")
    if not (len(country) == 2 and country.isascii() and country.isalpha() and country.isupper()):
        raise MalformedRecordError(f"country {country[:40]!r} is no ISO 3166 code of two capital letters")
    return CompanyFacts(
        crm_id=text(company, "id"),
        customer_code=text(values, "customer_code"),
        name=text(values, "name"),
        country=country,
        psa_client_id=optional_text(values, "psa_client_id"),
    )


def is_signed(deal: Record) -> bool:
    """Whether the deal is a contract. An open one may lack anything and is no trouble: skip it unread."""
    return optional_text(part(deal, "properties"), "dealstage") == SIGNED_STAGE


def deal_facts(deal: Record) -> DealFacts:
    """A deal with DEAL_PROPERTIES and its companies: a contract or an amendment. It must be complete, signed or not.

    Raises MalformedTermsError where all but its terms is well, with what that means for the contract.
    """
    values = part(deal, "properties")
    start, end = date(values, "contract_start"), None
    if optional_text(values, "contract_end") is not None:
        end = date(values, "contract_end")
        _in_order(start, end)
    code, amends = text(values, "contract_code"), optional_text(values, "amends_contract")
    if code == amends:
        raise MalformedRecordError("contract_code is that of amends_contract: an amendment needs a code of its own")
    kind, pays_in = _kind(text(values, "contract_kind")), currency(values, "deal_currency_code")
    facts = DealFacts(
        crm_id=text(deal, "id"),
        contract_code=code,
        name=optional_text(values, "dealname") or code,
        kind=kind,
        currency=pays_in,
        legal_entity=text(values, "legal_entity"),
        valid_from=start,
        valid_to=end,
        signed=is_signed(deal),
        psa_project_ids=_ids(optional_text(values, "psa_project_ids")),
        crm_company_id=_company_id(deal),
        terms=None,
        amends=amends,
    )
    stated = optional_text(values, "billing_terms")
    if stated is None and amends is not None:
        return facts
    try:
        return replace(facts, terms=terms_from_text(stated, kind=kind, currency=pays_in))
    except MalformedTermsError as error:
        so = f"contract {amends} stays as it is without amendment {code}" if amends else f"contract {code} is left out"
        raise MalformedTermsError(f"billing_terms: {error.reason}; {so}") from None


def _in_order(start: dt.date, end: dt.date) -> None:
    if end < start:
        raise MalformedRecordError("contract_end is before contract_start")


def _kind(value: str) -> ContractKind:
    try:
        return ContractKind(value)
    except ValueError:
        raise MalformedRecordError(f"contract_kind {value[:40]!r} is unknown") from None


def _ids(joined: str | None) -> tuple[str, ...]:
    """The ids of "a;b;c", each once, in their order."""
    stripped = (piece.strip() for piece in (joined or "").split(";"))
    return tuple(dict.fromkeys(piece for piece in stripped if piece))


def _company_id(deal: Record) -> str:
    """The deal's company; of several, the one that HubSpot calls primary.

    A company comes up once for each label of its association, so one company can be in the list more than once.
    """
    linked = parts(part(part(deal, "associations"), "companies"), "results") if deal.get("associations") else []
    every = {text(item, "id") for item in linked}
    primary = {text(item, "id") for item in linked if item.get("type") == _PRIMARY_COMPANY}
    candidates = every if len(every) == 1 else primary
    if len(candidates) != 1:
        raise MalformedRecordError(f"the deal has {len(every)} companies and {len(primary)} primary ones, not one")
    return candidates.pop()
