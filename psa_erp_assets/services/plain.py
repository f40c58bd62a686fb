"""Records of the services as JSON bodies: what `--json` prints and the HTTP API answers are the same."""

from typing import Any

from pydantic import TypeAdapter


def to_plain(record: Any) -> dict[str, Any]:
    """A dataclass as a JSON body: amounts and dates as strings, instants in ISO 8601 with their zone."""
    plain: dict[str, Any] = TypeAdapter(type(record)).dump_python(record, mode="json")
    return plain
