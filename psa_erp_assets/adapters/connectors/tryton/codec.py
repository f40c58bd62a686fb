"""Tryton's JSON: values that JSON has no type for travel as objects marked by `__class__`."""

import datetime as dt
import json
from decimal import Decimal
from typing import Any


def encode(body: Any) -> bytes:
    """`body` as Tryton's JSON. Raises TypeError for a value that Tryton has no form for."""
    return json.dumps(body, default=_marked, allow_nan=False, separators=(",", ":")).encode()


def decode(text: bytes) -> Any:
    """The values in an answer; numbers with a fraction become Decimal. Raises ValueError for what is not such JSON."""
    try:
        return json.loads(text, object_hook=_unmarked, parse_float=Decimal, parse_constant=_refuse_constant)
    except (KeyError, TypeError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"a marked value that means nothing ({type(error).__name__})") from None


def _marked(value: Any) -> dict[str, Any]:
    # datetime first: it is a date too.
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise TypeError("an instant needs its offset; Tryton takes it as UTC")
        utc = value.astimezone(dt.UTC)
        names = ("year", "month", "day", "hour", "minute", "second", "microsecond")
        return {"__class__": "datetime", **{name: getattr(utc, name) for name in names}}
    if isinstance(value, dt.date):
        return {"__class__": "date", "year": value.year, "month": value.month, "day": value.day}
    if isinstance(value, dt.timedelta):
        return {"__class__": "timedelta", "seconds": value.total_seconds()}
    if isinstance(value, Decimal):
        return {"__class__": "Decimal", "decimal": str(value)}
    raise TypeError(f"Tryton's JSON has no form for a {type(value).__name__}")


def _unmarked(body: dict[str, Any]) -> Any:
    match body.pop("__class__", None):
        case None:
            return body
        case "datetime":
            return dt.datetime(**body, tzinfo=dt.UTC)
        case "date":
            return dt.date(**body)
        case "timedelta":
            return dt.timedelta(seconds=float(body["seconds"]))
        case "Decimal":
            return Decimal(body["decimal"])
        case other:
            raise ValueError(f"an unknown kind of value: {other!r}")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")
