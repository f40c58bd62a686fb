"""What somebody sees about their own account."""

import datetime as dt
from dataclasses import dataclass

from sqlalchemy import Connection

from psa_erp_assets.adapters.store import access, sign_ins
from psa_erp_assets.adapters.store.sign_ins import SignIn
from psa_erp_assets.domain.access import Actor, Grant
from psa_erp_assets.services.accounts import TokenLine, in_order, list_tokens
from psa_erp_assets.services.sign_in import Lifetimes, is_alive


@dataclass(frozen=True, slots=True, kw_only=True)
class MyAccount:
    """An account as its owner sees it. `has_password` is False where the OpenID provider signs them in."""

    login: str
    name: str
    grants: tuple[Grant, ...]
    has_password: bool
    browsers: tuple[SignIn, ...]
    tokens: tuple[TokenLine, ...]


def my_account(
    connection: Connection, tenant: str, actor: Actor, *, lifetimes: Lifetimes, now: dt.datetime
) -> MyAccount:
    """The account of an actor, with the browsers that are signed in now."""
    account = access.account_of(connection, tenant, actor.id)
    found = sign_ins.of_account(connection, tenant, actor.id)
    return MyAccount(
        login=actor.id,
        name=actor.name,
        grants=in_order(actor.grants),
        has_password=account is not None and account.password_hash is not None,
        browsers=tuple(one for one in found if is_alive(one, lifetimes, now)),
        tokens=tuple(list_tokens(connection, tenant, actor.id, now)),
    )
