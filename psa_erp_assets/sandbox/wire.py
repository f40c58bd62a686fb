"""What the sandboxes share on the wire: instants, durations, pages, request bodies, the vendor's own errors."""

import contextlib
import datetime as dt
import json
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Handler = Callable[[Request], Awaitable[Response]]
Clock = Callable[[], dt.datetime]
_T = TypeVar("_T")


class VendorError(Exception):
    """A request that the vendor answers with an error of its own form."""

    def __init__(self, status: int, message: str, code: int | str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def vendor_app(routes: Iterable[tuple[str, str, Handler]], error: Callable[[VendorError], Response]) -> Starlette:
    """An app of (method, path, handler) that answers every refusal, also of unknown paths, in the vendor's form.

    A path with a slash too many is unknown: the vendors do not redirect.
    """

    async def refused(_: Request, failure: Exception) -> Response:
        assert isinstance(failure, VendorError)
        return error(failure)

    async def unknown(_: Request, failure: Exception) -> Response:
        assert isinstance(failure, HTTPException)
        return error(VendorError(failure.status_code, failure.detail))

    app = Starlette(
        routes=[Route(path, handler, methods=[method]) for method, path, handler in routes],
        exception_handlers={VendorError: refused, HTTPException: unknown},
    )
    app.router.redirect_slashes = False
    return app


def utc_now() -> dt.datetime:
    """The clock of a running sandbox."""
    return dt.datetime.now(dt.UTC)


def instant(moment: dt.datetime) -> str:
    """As Clockify, BambooHR and Kantata write it: whole seconds, Z."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_instant(text: object, name: str) -> dt.datetime:
    """An ISO 8601 instant with its offset. Raises VendorError 400 for anything else."""
    with contextlib.suppress(ValueError):
        moment = dt.datetime.fromisoformat(str(text))
        if moment.tzinfo is not None:
            return moment.astimezone(dt.UTC)
    raise VendorError(400, f"{name} must look like 2026-09-01T08:00:00Z", 501)


def iso_duration(seconds: int) -> str:
    """ISO 8601 as Clockify writes it: PT1H30M, PT45M, PT0S."""
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    parts = [f"{n}{unit}" for n, unit in ((hours, "H"), (minutes, "M"), (left, "S")) if n]
    return "PT" + ("".join(parts) or "0S")


def flag(params: Mapping[str, str], name: str) -> bool | None:
    """A query parameter that is true or false; None if it is absent. Raises VendorError 400 for anything else."""
    value = params.get(name)
    if value is None:
        return None
    if value.lower() not in ("true", "false"):
        raise VendorError(400, f"{name} must be true or false", 501)
    return value.lower() == "true"


def whole_number(params: Mapping[str, str], name: str, default: int, maximum: int) -> int:
    """A query parameter from 1 to `maximum`. Raises VendorError 400 for anything else."""
    text = params.get(name, str(default))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= maximum:
        raise VendorError(400, f"{name} must be a number from 1 to {maximum}", 501)
    return int(text)


def page_of(rows: Sequence[_T], params: Mapping[str, str], *, size: int = 50, maximum: int = 5000) -> Sequence[_T]:
    """The rows on the asked page of `page` and `page-size`."""
    number = whole_number(params, "page", 1, 10**6)
    length = whole_number(params, "page-size", size, maximum)
    return rows[(number - 1) * length : number * length]


async def json_object(request: Request) -> dict[str, Any]:
    """The request's body. Raises VendorError 400 if it is no JSON object."""
    try:
        body = json.loads(await request.body())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise VendorError(400, "The request body must be a JSON object", 501)
    return body


def same_secret(given: str | None, expected: str) -> bool:
    """Whether a credential is the expected one, in constant time."""
    return given is not None and secrets.compare_digest(given.encode(), expected.encode())
