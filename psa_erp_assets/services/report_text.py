"""Values of reports as people read them, the same on pages and in files."""

import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from psa_erp_assets.domain.money import Money, Rounding
from psa_erp_assets.services.report_filters import NOBODY, Filters
from psa_erp_assets.services.report_model import Column, Figure, Unit, Value

# What XML cannot hold, and with it no cell of a workbook, nor any font.
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_CURRENCIES = {
    "group": "amounts in the group's currency",
    "entity": "amounts in the currency of the books",
    "transaction": "amounts in the documents' currencies",
}


def text(unit: Unit, value: Any, currency: str | None = None) -> str:
    """A value: "1,234.50 USD", "30.3 %", "12 h 30 min", "4.0 days"; a dash for none."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if unit == "money":
        return _money(value, currency)
    return _WRITTEN[unit](value) if unit in _WRITTEN else str(value)


def shown(column: Column, row: Mapping[str, Any]) -> str:
    """The value of a column in a row."""
    return text(column.unit, row.get(column.name), row.get(column.currency))


def whole(value: Decimal) -> str:
    """An amount without its cents, as large figures are read."""
    return f"{value.quantize(Decimal(1), ROUND_HALF_UP):,}"


def limits(filters: Filters) -> list[str]:
    """What a report is limited to, one a line."""
    said = []
    if filters.first is not None and filters.last is not None:
        said.append(filters.first if filters.first == filters.last else f"{filters.first} to {filters.last}")
    said += [f"{name} {'none' if value == NOBODY else value}" for name, value in filters.chosen().items()]
    said += [
        f"{name.replace('_', ' ')} {'none' if value == NOBODY else value.replace('_', ' ')}"
        for name, value in filters.exact
    ]
    return said


def heading(filters: Filters, published_at: dt.datetime) -> list[str]:
    """What a file says of the numbers in it."""
    mine = filters.entities
    return [
        "; ".join([*limits(filters), _CURRENCIES[filters.currency]]),
        *([] if mine is None else [f"Of the legal entities {', '.join(sorted(mine))} alone"]),
        f"As published {published_at.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC",
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """How a number moved since the period before: `direction` is 1, -1, or 0 for what nobody sees; `said` by how much.

    `good` says whether that is welcome, None where it does not matter.
    """

    direction: int
    said: str
    good: bool | None


def moved(figure: Figure, value: Value) -> Moved | None:
    """How a value moved: shares by points, others by a part of what they were; None where none was before."""
    if value.value is None or value.previous is None:
        return None
    by = value.value - value.previous
    if not by or (figure.unit == "share" and text("share", by) == text("share", Decimal(0))):
        return Moved(direction=0, said="unchanged", good=None)
    direction = 1 if by > 0 else -1
    if figure.unit == "share":
        said = f"{(abs(by) * 100).quantize(Decimal('0.1'), ROUND_HALF_UP)} points"
    elif value.previous:
        said = text("share", Decimal(abs(by)) / Decimal(abs(value.previous)))
    else:
        said = text(figure.unit, abs(by), value.currency)
    return Moved(
        direction=direction, said=said, good=None if figure.good is None else (direction > 0) == (figure.good == "up")
    )


def printable(text: str) -> str:
    """A text with a mark instead of each character that files cannot hold."""
    return _NO_XML.sub("\ufffd", text)


def _money(value: Decimal, currency: str | None) -> str:
    if currency is None:
        return f"{value.quantize(Decimal('0.01'), ROUND_HALF_UP):,}"
    try:
        return str(Money(value, currency).rounded(Rounding.HALF_UP))
    except ValueError:
        return f"{value} {currency}"


def _time(minutes: int) -> str:
    hours, rest = divmod(abs(int(minutes)), 60)
    return f"{'-' if minutes < 0 else ''}{hours:,} h {rest:02d} min"


_WRITTEN: Mapping[Unit, Callable[[Any], str]] = {
    "share": lambda value: f"{(value * 100).quantize(Decimal('0.1'), ROUND_HALF_UP)} %",
    "minutes": _time,
    "days": lambda value: f"{value.quantize(Decimal('0.1'), ROUND_HALF_UP)} days",
    "number": lambda value: f"{value:,}",
    "code": lambda value: str(value).replace("_", " "),
}
