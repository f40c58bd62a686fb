"""Records of the services as JSON bodies: what `--json` prints and the HTTP API answers are the same."""

from typing import Any

from pydantic import TypeAdapter


def to_plain(record: Any) -> dict[str, Any]:
    """A dataclass as a JSON body: amounts and dates as strings, instants in ISO 8601 with their zone."""
    plain: dict[str, Any] = TypeAdapter(type(record)).dump_python(record, mode="json")
    return plain


def age(seconds: int) -> str:
    """ "42 s", "5 min", "3 h 20 min" or "2 d 4 h"."""
    minutes, hour, day = seconds // 60, 3_600, 86_400
    if seconds < 60:
        return f"{seconds} s"
    if seconds < hour:
        return f"{minutes} min"
    if seconds < day:
        return f"{seconds // hour} h {minutes % 60} min"
    return f"{seconds // day} d {seconds % day // hour} h"
