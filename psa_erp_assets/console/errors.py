"""What a refusal looks like to a program."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

_MESSAGE, _FIELD = 300, 120
_NO_KIND = "union_tag"
# The alternatives of a body, which stand in an error's path and are no fields.
_KINDS = ("time_entry", "expense", "milestone")


class Refusal(BaseModel):
    """Why a request was refused."""

    detail: str


class FieldProblem(BaseModel):
    """A field by its path, such as receipt.amount, and what is wrong with it."""

    field: str
    message: str


class Problem(Refusal):
    """What in a request was not understood; empty where it is not a single field."""

    problems: list[FieldProblem] = []


def field_problems(errors: Iterable[Mapping[str, Any]]) -> list[FieldProblem]:
    """The fields that FastAPI did not understand."""
    return [FieldProblem(field=_path(error)[:_FIELD], message=_message(error)[:_MESSAGE]) for error in errors]


def _path(error: Mapping[str, Any]) -> str:
    # The first part says where the field is: in the body, the query or the path.
    parts = [str(part) for part in error["loc"][1:]]
    if parts and parts[0] in _KINDS:
        parts = parts[1:]
    if error["type"].startswith(_NO_KIND):
        parts.append("kind")
    return _sendable(".".join(parts) or str(error["loc"][0]))


def _message(error: Mapping[str, Any]) -> str:
    if error["type"].startswith(_NO_KIND):
        # pydantic's own repeats what was sent.
        return f"one of {', '.join(_KINDS)}"
    return _sendable(str(error["msg"]).removeprefix("Value error, "))


def _sendable(text: str) -> str:
    """The text without what UTF-8 cannot spell, which a sender can put into a name."""
    return text.encode("utf-8", "replace").decode("utf-8")
