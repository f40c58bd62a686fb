"""Templates and how values are written on a page: money with its currency, instants with their zone."""

import datetime as dt
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from psa_erp_assets.adapters.store.trace import KINDS
from psa_erp_assets.console.access import csrf_field, current_visitor
from psa_erp_assets.domain.money import Money
from psa_erp_assets.services.plain import age
from psa_erp_assets.services.trace import CONTRACT

FOLDER = Path(__file__).parent

_POSTING_KEY = re.compile(r"[0-9a-f]{32}")
_TRACEABLE = (*KINDS, CONTRACT)

# The state's word stays on the page; the tone adds color for those who see it.
_TONES = {
    "good": ("healthy", "verified", "confirmed", "post", "applied", "approved"),
    "bad": ("failing", "rejected", "conflict", "duplicate", "drift", "bug"),
    "waiting": (
        "resting",
        "ambiguous",
        "resolving",
        "in_flight",
        "held",
        "hold",
        "ready",
        "planned",
        "proposed",
        "submitted",
    ),
}
_TONE_OF = {state: tone for tone, states in _TONES.items() for state in states}


def make_environment(*, dagster_url: str | None) -> Environment:
    """The templates, escaping everything; a name that a page forgets to fill is an error instead of a blank."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["posting_key"] = lambda text: _POSTING_KEY.fullmatch(text) is not None
    environment.tests["traceable"] = lambda text: text.partition(":")[0] in _TRACEABLE
    environment.globals |= {"dagster_url": dagster_url, "csrf_field": csrf_field, "visitor": current_visitor}
    environment.filters |= {
        "money": money,
        "instant": instant,
        "age": age,
        "hours": hours,
        "words": words,
        "tone": tone,
        "number": number,
        "as_json": as_json,
        "in_path": in_path,
    }
    return environment


def money(amount: Decimal, currency: str) -> str:
    """ "1,234.50 USD"; an amount in what is no currency is shown as it is, because a page must not fail on it."""
    try:
        return str(Money(amount, currency))
    except ValueError:
        return f"{amount} {currency}"


def instant(at: dt.datetime | None) -> Markup:
    """A <time> element in UTC to the second, or a dash."""
    if at is None:
        return Markup("–")
    utc = at.astimezone(dt.UTC)
    return Markup('<time datetime="{}">{} UTC</time>').format(utc.isoformat(), utc.strftime("%Y-%m-%d %H:%M:%S"))


def hours(minutes: int | None) -> str:
    """ "1 h 30 min", with a minus on a reversal, or a dash."""
    if minutes is None:
        return "–"
    whole, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else ''}{whole} h {rest:02d} min"


def words(name: str) -> str:
    """ "in_flight" as "in flight"."""
    return name.replace("_", " ")


def tone(state: str) -> str:
    """The class that colors a state."""
    return _TONE_OF.get(state, "plain")


def number(value: int) -> str:
    """ "12,345"."""
    return f"{value:,}"


def as_json(body: Mapping[str, Any]) -> str:
    """A JSON body for people to read."""
    return json.dumps(body, indent=2, ensure_ascii=False, sort_keys=True, default=str)


def in_path(text: str) -> str:
    """Text as one part of a URL's path."""
    return quote(text, safe=":")
