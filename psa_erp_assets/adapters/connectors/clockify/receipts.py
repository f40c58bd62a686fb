"""What the notes of an expense say about its receipt.

Clockify's expense has one total, in the workspace's currency: what is paid back. What the receipt itself says stands
at the beginning of the notes, by a convention that the company keeps: "Receipt CHF 412.50; hotel".

What looks like the convention and is not is refused. Taken for prose, a slip of the keyboard would bill the customer
the total in the wrong currency.
"""

import re
from decimal import Decimal

from psa_erp_assets.domain.malformed import MalformedRecordError
from psa_erp_assets.domain.money import Money, exponent

_STATED = re.compile(r"Receipt (?P<currency>[A-Z]{3}) (?P<amount>[0-9]{1,15}(?:\.[0-9]{1,4})?)")
# "Receipt 412.50", "receipt: chf 5", "Receipt €5" and "Receipt CHF" mean an amount; "Receipt is lost" does not.
_MEANT = re.compile(r"(?i:receipt)\b[\s:]*(?:[A-Z]{3}\b|[^\s\d]{0,3}\s?\d)")

# ISO 4217 (SIX, list one), active codes of currencies; BGN and ANG, lately withdrawn, are still on receipts.
_ISO_4217 = """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF
    CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD
    HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD
    MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN
    PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY
    TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
"""
_CURRENCIES = frozenset(_ISO_4217.split())


def receipt_of(notes: str) -> tuple[Money | None, str]:
    """The amount on the receipt, None where the notes state none, and the rest of the notes.

    Raises MalformedRecordError for a statement that is not as the convention has it.
    """
    first, _, rest = notes.partition(";")
    if any(_MEANT.match(part.strip()) for part in rest.split(";")):
        raise MalformedRecordError("notes state a receipt elsewhere than at their beginning")
    if _MEANT.match(first.strip()) is None:
        return None, notes
    stated = _STATED.fullmatch(first.strip())
    if stated is None:
        raise MalformedRecordError('notes begin with a receipt that is not stated as "Receipt CHF 412.50; …"')
    return _money(stated["amount"], stated["currency"]), rest.strip()


def _money(amount: str, currency: str) -> Money:
    if currency not in _CURRENCIES:
        raise MalformedRecordError(f"notes state a receipt in {currency}, which is no currency")
    if len(amount.partition(".")[2]) > exponent(currency):
        raise MalformedRecordError(f"notes state a receipt with more digits than {currency} has")
    if not Decimal(amount):
        raise MalformedRecordError("notes state a receipt of nothing")
    return Money(Decimal(amount), currency)
