"""Records as JSON bodies and back, by the annotations of their dataclasses.

A body keeps what a record says to the last digit: decimals are strings, dates ISO text, tuples lists; no float is made.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

_Record = TypeVar("_Record")
_Reader = Callable[[Any], Any]


def to_body(record: Any) -> dict[str, Any]:
    """A dataclass as a JSON body, with all that is nested in it."""
    return {field.name: _plain(getattr(record, field.name)) for field in fields(record)}


def from_body(record_type: type[_Record], body: Mapping[str, Any]) -> _Record:
    """The inverse of `to_body`.

    Raises TypeError for an annotation that has no way back, such as a float, and for a body that lacks a field without
    a default.
    """
    hint: Any = record_type
    return cast("_Record", _reader(hint)(body))


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return to_body(value)


@cache
def _reader(hint: Any) -> _Reader:
    """What makes a value of this annotation from its JSON form.

    Made once an annotation: to look up the hints of a type takes longer than to read a record of it, and a planning run
    reads all master data.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        [meant] = (argument for argument in arguments if argument is not NoneType)
        read = _reader(meant)
        return lambda value: None if value is None else read(value)
    if origin is tuple and arguments[1:] == (...,):
        read = _reader(arguments[0])
        return lambda items: tuple(read(item) for item in items)
    if origin is Mapping and arguments[0] is str:
        read = _reader(arguments[1])
        return lambda items: {name: read(item) for name, item in items.items()}
    if hint in (str, int, bool):
        return lambda value: value
    if hint in (dt.date, dt.datetime):
        return cast("_Reader", hint.fromisoformat)
    if isinstance(hint, type) and issubclass(hint, Decimal | Enum):
        return hint
    if is_dataclass(hint):
        readers = {name: _reader(of) for name, of in get_type_hints(hint).items()}
        # A record type that has changed reads the bodies of before itself.
        upgraded: _Reader = getattr(hint, "upgraded", lambda body: body)
        make = cast("type[Any]", hint)
        return lambda body: make(**{name: readers[name](value) for name, value in upgraded(body).items()})
    raise TypeError(f"{hint} has no way back from a JSON body")
