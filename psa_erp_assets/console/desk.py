"""What the pages for signing in have in common: their form's cookie, the page itself, and letting somebody in."""

import datetime as dt
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment

from psa_erp_assets.adapters.passwords import new_secret, same
from psa_erp_assets.console.access import CSRF_FIELD
from psa_erp_assets.console.gate import SIGNED_IN, AccessSetUp

_FORM, _FORM_LASTS = "psa_erp_form", dt.timedelta(hours=12)


class Desk:
    """The pages for people whom nobody knows yet. Their forms carry a value that a cookie repeats."""

    def __init__(self, environment: Environment, set_up: AccessSetUp) -> None:
        self._environment, self.set_up = environment, set_up

    def page(
        self,
        request: Request,
        template: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **values: Any,
    ) -> Response:
        """A page with a form."""
        token = request.cookies.get(self.set_up.cookie(_FORM)) or new_secret()
        text = self._environment.get_template(template).render(csrf=token, csrf_name=CSRF_FIELD, **values)
        response = HTMLResponse(text, status, headers)
        self.set_up.keep(response, _FORM, token, lasts=_FORM_LASTS)
        return response

    def sign_in_page(
        self, request: Request, *, wanted: str, problem: str = "", login: str = "", **options: Any
    ) -> Response:
        """The sign-in page; `wanted` is where it leads, `options` go to `page`."""
        settings = self.set_up.settings
        return self.page(
            request,
            "sign_in.html",
            wanted=local(wanted),
            problem=problem,
            login=login,
            passwords=settings.passwords,
            openid=settings.openid.label if settings.openid is not None and self.set_up.provider is not None else None,
            **options,
        )

    def is_own_form(self, request: Request, csrf: str) -> bool:
        """Whether a form comes from a page that this browser has been given."""
        cookie = request.cookies.get(self.set_up.cookie(_FORM), "")
        return bool(cookie) and same(cookie, csrf)

    def let_in(self, secret: str, wanted: str) -> Response:
        """Somebody has signed in: to the page that they asked for."""
        response = RedirectResponse(local(wanted), HTTPStatus.SEE_OTHER)
        self.set_up.keep(response, SIGNED_IN, secret, lasts=self.set_up.lifetimes.longest)
        self.set_up.forget(response, _FORM)
        return response


def sign_in_address(path: str) -> str:
    """The address of the sign-in page that leads back to a page."""
    return "/sign-in" if local(path) == "/" else f"/sign-in?{urlencode({'next': path})}"


def local(address: str) -> str:
    """The address where it is one of a page here, else the first page: a link must not lead away after signing in."""
    plain = address.isprintable() and "\\" not in address
    return address if plain and address.startswith("/") and not address.startswith("//") else "/"


def sentence(error: Exception) -> str:
    """An error's message as a sentence of a page."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
