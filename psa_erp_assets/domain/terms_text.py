"""Terms as the JSON text that a contract manager writes into the CRM, and back.

What belongs here: the keys of the text, their types and the reasons why one is refused. What does not: what the terms
mean (`terms`), and where the text is kept (the CRM's connector).

Every amount is a text in the contract's currency, as "120000.00". JSON's own numbers with a fraction are refused:
0.1 is not a tenth once a program has read it as a float. Nothing is passed over: a key that means nothing here, or
nothing for this kind of contract, would be an agreement that nobody keeps.
"""

import dataclasses
import datetime as dt
import enum
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from psa_erp_assets.domain.malformed import MalformedRecordError
from psa_erp_assets.domain.money import Money
from psa_erp_assets.domain.terms import (
    MAIN,
    Component,
    ContractKind,
    DayCount,
    Estimate,
    ExpenseTerms,
    Instalment,
    LineRounding,
    Overage,
    PricingTerms,
    Recognition,
    RecognitionTerms,
    RetainerTerms,
    Terms,
)

# Without a sign or an exponent, and within what the arithmetic of `money` is made for.
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,10})?")
_LONGEST = 10**9
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class MalformedTermsError(MalformedRecordError):
    """The text is not the terms of a contract. `reason` begins with the path of the field, where it is about one."""

    code = "malformed_terms"


def terms_from_text(text: str | None, *, kind: ContractKind, currency: str) -> Terms:
    """The terms that the text states for a contract of this kind, with amounts in this currency.

    Without a text they are the plain ones of the kind. Without `components` there is one, of the contract's kind,
    whose keys stand beside the others. Raises MalformedTermsError with the path of the field and what is expected.
    """
    root = _At(_parsed(text), "", currency)
    keys: dict[str, _Reader] = {**_PRICING, "expenses": _record(ExpenseTerms, _EXPENSES)}
    if kind is ContractKind.MIXED or "components" in root.items():
        said = root.fields(keys | {"components": _list(lambda at: _component(at.fields(_COMPONENT), at, kind))})
        if "components" not in said:
            raise root.inside("components").error("is missing; a mixed contract has a list of them")
        components = said.pop("components")
    else:
        own = {name: reader for name, reader in _COMPONENT.items() if name not in ("code", "kind", "projects")}
        said = root.fields(keys | own)
        of_component = {name: said.pop(name) for name in own if name in said}
        components = (_component({"code": MAIN, **of_component}, root, kind),)
    expenses = {"expenses": said.pop("expenses")} if "expenses" in said else {}
    pricing = _made(PricingTerms, said, root)
    stated = {"components": components, "pricing": pricing, **expenses}
    terms: Terms = _made(Terms, stated, root.inside("components"))
    return terms


def terms_to_text(terms: Terms) -> str:
    """The inverse of `terms_from_text`, given the contract's kind and the currency of the amounts; without defaults."""
    body = _said(terms)
    pricing = body.pop("pricing", {})
    return json.dumps(pricing | body, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class _At:
    """A value of the text, where in it it stands, and the currency of its amounts."""

    value: Any
    path: str
    currency: str

    def error(self, why: str) -> MalformedTermsError:
        return MalformedTermsError(f"{self.path}: {why}" if self.path else why)

    def expected(self, what: str) -> MalformedTermsError:
        return self.error(f"{what} is expected, not {_name(self.value)}")

    def inside(self, name: str, value: Any = None) -> "_At":
        return _At(value, f"{self.path}.{name}" if self.path else name, self.currency)

    def items(self) -> dict[str, Any]:
        if not isinstance(self.value, dict):
            raise self.expected("an object in braces")
        return self.value

    def fields(self, keys: Mapping[str, "_Reader"]) -> dict[str, Any]:
        """The values by key, each through its reader. Raises for a key that has none."""
        for name in self.items():
            if name not in keys:
                raise self.inside(_shown(name)).error(f"is unknown here; known are {', '.join(keys)}")
        return {name: keys[name](self.inside(name, value)) for name, value in self.items().items()}


_Reader = Callable[[_At], Any]


def _parsed(text: str | None) -> Any:
    if text is None or not text.strip():
        return {}
    try:
        # A Decimal is no type that any key takes: a number with a fraction is refused where it stands, with its path.
        return json.loads(text, parse_float=Decimal, parse_constant=Decimal, object_pairs_hook=_once)
    except MalformedTermsError:
        raise
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise MalformedTermsError(f"the text is no JSON: {error.msg}, {where}") from None
    except (ValueError, RecursionError):
        raise MalformedTermsError("the text is no JSON that can be read: it is nested too deep or too long") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    items: dict[str, Any] = {}
    for name, value in pairs:
        if name in items:
            raise MalformedTermsError(f"{_shown(name)}: is there more than once")
        items[name] = value
    return items


def _text(at: _At) -> str:
    # What cannot be printed (a NUL, half of a character) the store cannot hold either.
    if not isinstance(at.value, str) or not at.value.strip() or not at.value.isprintable():
        raise at.expected("a text on one line")
    return at.value.strip()


def _number(at: _At) -> Decimal:
    if not isinstance(at.value, str) or _NUMBER.fullmatch(at.value) is None:
        raise at.expected('a number in quotes, such as "0.05",')
    return Decimal(at.value)


def _signed(at: _At) -> Decimal:
    if isinstance(at.value, str) and at.value.startswith("-"):
        return _number(_At(at.value[1:], at.path, at.currency)).copy_negate()
    return _number(at)


def _rate(at: _At) -> Money:
    """An hourly rate, which may be finer than the currency."""
    if not isinstance(at.value, str) or _NUMBER.fullmatch(at.value) is None:
        raise at.expected('an amount in quotes, such as "120000.00",')
    return Money(Decimal(at.value), at.currency)


def _amount(at: _At) -> Money:
    amount = _rate(at)
    try:
        amount.minor_units()
    except ValueError:
        raise at.error(f"is finer than the smallest unit of {at.currency}") from None
    return amount


def _cost(at: _At) -> Decimal:
    return _rate(at).amount


def _whole(low: int, high: int = _LONGEST) -> _Reader:
    def read(at: _At) -> int:
        # A bool is an int in Python, and none in a contract.
        if type(at.value) is not int or not low <= at.value <= high:
            raise at.expected(f"a whole number from {low} to {high}, without quotes,")
        return at.value

    return read


def _flag(at: _At) -> bool:
    if not isinstance(at.value, bool):
        raise at.expected("true or false, without quotes,")
    return at.value


def _day(at: _At) -> dt.date:
    try:
        if isinstance(at.value, str) and _DAY.fullmatch(at.value):
            return dt.date.fromisoformat(at.value)
    except ValueError:
        pass
    raise at.expected('a date in quotes, such as "2026-09-30",')


def _choice(*known: enum.StrEnum) -> _Reader:
    by_value = {one.value: one for one in known}

    def read(at: _At) -> enum.StrEnum:
        if not isinstance(at.value, str) or at.value not in by_value:
            raise at.expected(f"one of {', '.join(by_value)}")
        return by_value[at.value]

    return read


def _by_name(reader: _Reader) -> _Reader:
    """Values by a name that the contract chooses: a type of work, a category of expenses."""

    def read(at: _At) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in at.items().items():
            name, here = _text(_At(key, at.path, at.currency)), at.inside(_shown(key), value)
            if name in values:
                raise here.error("is there more than once")
            values[name] = reader(here)
        return values

    return read


def _list(reader: _Reader) -> _Reader:
    def read(at: _At) -> tuple[Any, ...]:
        if not isinstance(at.value, list):
            raise at.expected("a list in brackets")
        return tuple(reader(_At(item, f"{at.path}[{n}]", at.currency)) for n, item in enumerate(at.value))

    return read


def _record(record_type: type[Any], keys: Mapping[str, _Reader]) -> _Reader:
    return lambda at: _made(record_type, at.fields(keys), at)


def _made(record_type: type[Any], said: Mapping[str, Any], at: _At) -> Any:
    """The record with these fields and else its defaults; what it refuses itself is refused at this place."""
    for known in dataclasses.fields(record_type):
        if known.name not in said and _default(known) is dataclasses.MISSING:
            raise at.inside(known.name).error("is missing")
    try:
        return record_type(**said)
    except ValueError as error:
        raise at.error(str(error)) from None


def _default(known: "dataclasses.Field[Any]") -> Any:
    return known.default if known.default_factory is dataclasses.MISSING else known.default_factory()


def _component(said: Mapping[str, Any], at: _At, contract: ContractKind) -> Component:
    """A component of a contract of this kind, with all keys that its own kind needs and none that it does not."""
    mixed = contract is ContractKind.MIXED
    kind = said.get("kind", None if mixed else contract)
    if kind is None:
        raise at.inside("kind").error("is missing; each component of a mixed contract has its own")
    if not mixed and kind is not contract:
        raise at.inside("kind").error(
            f"is {kind}, and the contract's is {contract}; with components of other kinds it is mixed"
        )
    needed, possible = _KEYS_OF[kind]
    for name in needed:
        if name not in said:
            raise at.inside(name).error(f"is missing, and a component of kind {kind} needs it")
    for name in sorted(_OF_SOME_KINDS.intersection(said)):
        if name not in possible:
            raise at.inside(name).error(f"means nothing for a component of kind {kind}")
    component: Component = _made(Component, {**said, "kind": kind}, at)
    return component


_PRICING: dict[str, _Reader] = {
    "rate_card": _text,
    "blended_rate": _rate,
    "discount": _number,
    "increment_minutes": _whole(1),
    "multipliers": _by_name(_number),
    "rounding": _choice(*LineRounding),
}
_EXPENSES: dict[str, _Reader] = {
    "billable": _flag,
    "mark_up": _signed,
    "limits": _by_name(_amount),
    "tax_profile": _text,
}
_RECOGNITION: dict[str, _Reader] = {
    "method": _choice(*Recognition),
    "estimate": _record(Estimate, {"total_cost": _cost, "total_minutes": _whole(1), "excluded_cost": _cost}),
    "percent_digits": _whole(0, 10),
    "day_count": _choice(*DayCount),
}
_RETAINER: dict[str, _Reader] = {
    "fee": _amount,
    "included_minutes": _whole(0),
    "rollover_months": _whole(0, 1200),
    "overage": _choice(*Overage),
}
_COMPONENT: dict[str, _Reader] = {
    "code": _text,
    "kind": _choice(*(kind for kind in ContractKind if kind is not ContractKind.MIXED)),
    "projects": _list(_text),
    "fee": _amount,
    "cap": _amount,
    "cap_overage": _choice(Overage.HOLD, Overage.WRITE_OFF),
    "instalments": _list(_record(Instalment, {"due": _day, "amount": _amount, "label": _text})),
    "retainer": _record(RetainerTerms, _RETAINER),
    "recognition": _record(RecognitionTerms, _RECOGNITION),
}

_KEYS_OF: Mapping[ContractKind, tuple[tuple[str, ...], tuple[str, ...]]] = {
    ContractKind.TIME_AND_MATERIALS: ((), ()),
    ContractKind.CAPPED: (("cap",), ("cap", "cap_overage")),
    ContractKind.FIXED_FEE_MILESTONE: (("fee",), ("fee",)),
    ContractKind.FIXED_FEE_SCHEDULE: (("fee", "instalments"), ("fee", "instalments")),
    ContractKind.RETAINER: (("retainer",), ("retainer",)),
    ContractKind.NON_BILLABLE: ((), ()),
}
"""By kind of component: the keys that it needs, and those that mean something for it."""

_OF_SOME_KINDS = frozenset(name for _, possible in _KEYS_OF.values() for name in possible)


def _said(record: Any) -> dict[str, Any]:
    """The fields of a record that are not as they are by default, as JSON values."""
    values = ((known, getattr(record, known.name)) for known in dataclasses.fields(record))
    return {known.name: _plain(value) for known, value in values if value != _default(known)}


def _plain(value: Any) -> Any:
    if isinstance(value, Money):
        return _plain(value.amount)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, dt.date):
        return value.isoformat()
    if dataclasses.is_dataclass(value):
        return _said(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return {name: _plain(item) for name, item in value.items()} if isinstance(value, Mapping) else value


def _shown(name: str) -> str:
    """A key as it is shown in a reason: what is long or cannot be printed in a short form."""
    return name if len(name) <= 40 and name.isprintable() else repr(name[:40])


def _name(value: Any) -> str:
    """What kind of JSON value it is, for a reason. The value itself may be nobody's business."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int():
            return "a whole number"
        case Decimal():
            return "a number with a fraction"
        case str():
            return "this text" if value.strip() else "an empty text"
        case list():
            return "a list"
        case _:
            return "an object"
