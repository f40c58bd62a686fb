"""Which permission a route asks for: `Depends(requires(Permission.VIEW))` answers with the `Actor` or refuses.

What belongs here: the rule of a route, who asks, and what a form must carry. What does not: the pages on which somebody
signs in (`console.sign_in`), and what a role may do (`domain.access`).
"""

import contextvars
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from markupsafe import Markup
from starlette.types import ASGIApp, Receive, Scope, Send

from psa_erp_assets.domain.access import Actor, Permission, Role, carried

CSRF_FIELD = "csrf"
"""The hidden field that a form of a page repeats; `{{ csrf_field() }}` in a template writes it."""

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_READING = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who asks. `csrf` is what their forms repeat; None for a program with a token, which no page can make ask.

    `sign_in_id` is that of a browser that somebody has signed in with, `token` the beginning of a token, by which it is
    known.
    """

    actor: Actor
    csrf: str | None = None
    sign_in_id: int | None = None
    token: str | None = None


class DeniedError(HTTPException):
    """403: somebody whom we know may not do this, or not for this legal entity. It becomes an audit entry.

    `permission` None stands for what people alone may do, and no token.
    """

    def __init__(self, permission: Permission | None, detail: str, *, legal_entity: str | None = None) -> None:
        super().__init__(HTTPStatus.FORBIDDEN, detail)
        self.permission = permission
        self.legal_entity = legal_entity


Gate = Callable[[Request], Awaitable[Visitor | None]]
"""Who is behind a request, or None where nobody has signed in. `create_app` sets it as `app.state.gate`."""

_visitor: contextvars.ContextVar[Visitor | None] = contextvars.ContextVar("visitor", default=None)


class Rule:
    """The permission that a route asks for (None: only that somebody has signed in); FastAPI calls it each time."""

    def __init__(self, permission: Permission | None) -> None:
        self.permission = permission

    async def __call__(self, request: Request) -> Actor:
        """The actor. Raises DeniedError, and HTTPException 401 for nobody, 403 for a form from elsewhere."""
        gate: Gate = request.app.state.gate
        visitor = await gate(request)
        if visitor is None:
            raise HTTPException(HTTPStatus.UNAUTHORIZED, "Sign in first.", {"WWW-Authenticate": "Bearer"})
        _visitor.set(visitor)
        if request.method not in _READING and visitor.csrf is not None:
            await _refuse_foreign_form(request, visitor.csrf)
        if self.permission is None and visitor.csrf is None:
            raise DeniedError(None, "This is for people who have signed in, not for tokens.")
        if self.permission is not None and not visitor.actor.may(self.permission):
            roles = ", ".join(role.value for role in Role if self.permission in carried(role))
            raise DeniedError(self.permission, f"Your roles do not allow this; it takes one of these: {roles}.")
        return visitor.actor


def requires(permission: Permission) -> Rule:
    """The rule of a route, as a dependency: `actor: Annotated[Actor, Depends(requires(Permission.OPERATE))]`.

    It answers with the actor, who may do this for at least one legal entity. For a row of a legal entity ask
    `refuse_entity(actor, permission, entity)`, and for a list hand `actor.entities(permission)` to the query.
    """
    return Rule(permission)


Viewer = Annotated[Actor, Depends(requires(Permission.VIEW))]
"""Whoever may look, as a parameter of a route."""


def requires_person() -> Rule:
    """The rule of a page about somebody's own account: any person who has signed in, and no token."""
    return Rule(None)


def refuse_entity(actor: Actor, permission: Permission, legal_entity: str | None) -> None:
    """Raise DeniedError where the actor may not do this for the legal entity of a row.

    A row of no legal entity is for those alone who may do it for all of them.
    """
    mine = actor.entities(permission)
    if mine is not None and legal_entity not in mine:
        raise foreign_entity(permission, legal_entity)


def foreign_entity(permission: Permission, legal_entity: str | None = None) -> DeniedError:
    """The refusal of what belongs to a legal entity that somebody does not have the permission for."""
    told = "This belongs to a legal entity that you have no role for."
    return DeniedError(permission, told, legal_entity=legal_entity)


def current_visitor() -> Visitor | None:
    """Who asks for the page that is rendered at this moment; None before a rule has let somebody in."""
    return _visitor.get()


def csrf_field() -> Markup:
    """The hidden input with which a page's form shows that it comes from this person's own page."""
    visitor = _visitor.get()
    token = visitor.csrf if visitor is not None and visitor.csrf is not None else ""
    return Markup('<input type="hidden" name="{}" value="{}">').format(CSRF_FIELD, token)


class ForgetVisitor:
    """ASGI middleware: what one request has found out about its visitor is not there for the next."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request with nobody known."""
        token = _visitor.set(None)
        try:
            await self._app(scope, receive, send)
        finally:
            _visitor.reset(token)


async def _refuse_foreign_form(request: Request, csrf: str) -> None:
    # Any other content a page of another site can send only after asking, which nothing here allows.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in _FORMS:
        return
    sent = (await request.form()).get(CSRF_FIELD)
    if not isinstance(sent, str) or not secrets.compare_digest(sent.encode(), csrf.encode()):
        raise HTTPException(HTTPStatus.FORBIDDEN, "The form is not from this page, or too old. Open it again.")
