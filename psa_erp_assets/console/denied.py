"""What somebody was denied, on its way into the audit log."""

import datetime as dt
import logging
from collections.abc import Callable
from functools import partial

from fastapi import Request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.concurrency import run_in_threadpool

from psa_erp_assets.console.access import DeniedError, current_visitor
from psa_erp_assets.services.denials import Denial, Denials

_ENTITY = 40

logger = logging.getLogger(__name__)


async def note_denied(
    denials: Denials, request: Request, error: DeniedError, *, clock: Callable[[], dt.datetime]
) -> None:
    """Have an entry written of a refusal. Where the store does not take it the refusal stands, and the log says so."""
    visitor = current_visitor()
    if visitor is None:
        return
    route = request.scope.get("route")
    # An entity may be what somebody typed into an address.
    entity = "".join(letter for letter in error.legal_entity or "" if letter.isprintable())[:_ENTITY]
    denial = Denial(
        subject=visitor.actor.id if visitor.token is None else f"token:{visitor.token}",
        actor=visitor.actor.id,
        permission=None if error.permission is None else error.permission.value,
        legal_entity=entity or None,
        asked=f"{request.method} {getattr(route, 'path', 'an unknown address')}",
    )
    await _written(partial(denials.note, denial, now=clock()))


async def close_denials(denials: Denials, *, clock: Callable[[], dt.datetime]) -> None:
    """Have written what was only counted, before the server stops."""
    await _written(partial(denials.close, now=clock()))


async def _written(write: Callable[[], None]) -> None:
    try:
        await run_in_threadpool(write)
    except (DBAPIError, PoolTimeoutError) as failed:
        logger.warning("no audit entry of a denial: %s", type(failed).__name__)
