"""Accounts, their roles, one-time links and tokens: what an administrator, or somebody for themselves, does to them.

What belongs here: each change with its audit entry. What does not: proving who one is (`services.sign_in`).
"""

import datetime as dt
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from psa_erp_assets.adapters import passwords
from psa_erp_assets.adapters.store import access, sign_ins
from psa_erp_assets.adapters.store.access import Account, Token
from psa_erp_assets.domain.access import Actor, Grant, Limits, Permission, Role
from psa_erp_assets.services import audit

TOKEN_MARK = "psaerp_"  # noqa: S105 - it is how a token begins, for scanners of leaked secrets
FEWEST_CHARACTERS, MOST_CHARACTERS = 12, 256
LONGEST_TOKEN = dt.timedelta(days=366)
THIS_MACHINE = Actor(id="local", name="This machine", grants=frozenset(Grant(role) for role in Role))
"""The command line: whoever can start it can read the store anyhow."""

_LOGIN = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,119}")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,120}")
# Names that audit entries have for what is no person.
_RESERVED = frozenset({"local", "dagster", "psa-erp", "system", "sandbox"})
_PREFIX = 8


class AccessRefusedError(Exception):
    """A change to accounts, roles, links or tokens that cannot be made; the message says why."""


class LinkRefusedError(AccessRefusedError):
    """A one-time link that is unknown, used or too old."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLine:
    """An account as administrators see it."""

    login: str
    name: str
    grants: tuple[Grant, ...]
    how: str
    disabled: bool
    created_at: dt.datetime
    last_signed_in_at: dt.datetime | None
    browsers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLine:
    """A token as its owner sees it. `state` is alive, expired or revoked."""

    prefix: str
    login: str
    name: str
    permissions: tuple[Permission, ...]
    legal_entities: tuple[str, ...] | None
    created_at: dt.datetime
    expires_at: dt.datetime
    last_used_at: dt.datetime | None
    state: str


def list_accounts(connection: Connection, tenant: str, now: dt.datetime) -> list[AccountLine]:
    """All accounts, by login."""
    grants, browsers = access.grants(connection, tenant), access.signed_in_counts(connection, tenant, now)
    return [
        AccountLine(
            login=one.login,
            name=one.name,
            grants=in_order(grants.get(one.login, ())),
            how=_how(one),
            disabled=one.disabled_at is not None,
            created_at=one.created_at,
            last_signed_in_at=one.last_signed_in_at,
            browsers=browsers.get(one.login, 0),
        )
        for one in access.accounts(connection, tenant)
    ]


def in_order(grants: Iterable[Grant]) -> tuple[Grant, ...]:
    """Roles in the order in which they are declared, each for all entities first."""
    order = list(Role)
    return tuple(sorted(grants, key=lambda grant: (order.index(grant.role), grant.legal_entity or "")))


def first_link(engine: Engine, tenant: str, *, now: dt.datetime, lasts: dt.timedelta) -> str | None:
    """The secret of a link with which the first administrator makes an account; None where somebody has one."""
    with engine.begin() as connection:
        if access.any_account(connection, tenant):
            return None
        secret = _new_link(connection, tenant, None, by=THIS_MACHINE, now=now, lasts=lasts)
        audit.record(connection, tenant, kind="access.link", subject="first", actor=THIS_MACHINE.id, detail={}, now=now)
        return secret


def add_account(
    engine: Engine,
    tenant: str,
    login: str,
    name: str,
    grants: Collection[Grant],
    *,
    actor: Actor,
    now: dt.datetime,
    lasts: dt.timedelta,
) -> str:
    """Add an account with roles; answers with the secret of the link that sets its password.

    Raises AccessRefusedError where the login is taken or no login.
    """
    login, name = checked_login(login), _checked_name(name)
    with engine.begin() as connection:
        if not access.add_account(connection, tenant, _new_account(login, name, now)):
            raise AccessRefusedError(f"there is an account {login} already")
        for grant in grants:
            access.grant(connection, tenant, login, _checked_grant(grant), by=actor.id, now=now)
        detail = {"roles": [spelled(grant) for grant in in_order(grants)]}
        _record(connection, tenant, "access.account_added", login, actor=actor, now=now, **detail)
        return _new_link(connection, tenant, login, by=actor, now=now, lasts=lasts)


def grant_role(engine: Engine, tenant: str, login: str, grant: Grant, *, actor: Actor, now: dt.datetime) -> None:
    """Give an account a role. Raises AccessRefusedError where it has it, or is unknown."""
    with engine.begin() as connection:
        _existing(connection, tenant, login)
        if not access.grant(connection, tenant, login, _checked_grant(grant), by=actor.id, now=now):
            raise AccessRefusedError(f"{login} is {spelled(grant)} already")
        _record(connection, tenant, "access.granted", login, actor=actor, now=now, role=spelled(grant))


def revoke_role(engine: Engine, tenant: str, login: str, grant: Grant, *, actor: Actor, now: dt.datetime) -> None:
    """Take a role that was given here. Raises AccessRefusedError where there is none such, or no other administrator.

    A role that the provider's groups give is taken there.
    """
    with engine.begin() as connection:
        _existing(connection, tenant, login)
        if grant == Grant(Role.ADMIN):
            _refuse_the_last(connection, tenant, login)
        if not access.revoke_grant(connection, tenant, login, grant):
            raise AccessRefusedError(f"{login} was not made {spelled(grant)} here")
        _record(connection, tenant, "access.revoked", login, actor=actor, now=now, role=spelled(grant))


def disable_account(engine: Engine, tenant: str, login: str, *, actor: Actor, now: dt.datetime) -> None:
    """Let nobody sign in to an account, and end its browsers and tokens.

    Raises AccessRefusedError for the only administrator.
    """
    with engine.begin() as connection:
        _existing(connection, tenant, login)
        _refuse_the_last(connection, tenant, login)
        access.change_account(connection, tenant, login, disabled_at=now)
        ended = sign_ins.end(connection, tenant, now, login=login)
        revoked = access.revoke_tokens(connection, tenant, login, now)
        _record(connection, tenant, "access.disabled", login, actor=actor, now=now, browsers=ended, tokens=revoked)


def enable_account(engine: Engine, tenant: str, login: str, *, actor: Actor, now: dt.datetime) -> None:
    """Let somebody sign in again. Raises AccessRefusedError for an account that is unknown."""
    with engine.begin() as connection:
        _existing(connection, tenant, login)
        access.change_account(connection, tenant, login, disabled_at=None)
        _record(connection, tenant, "access.enabled", login, actor=actor, now=now)


def reset_link(engine: Engine, tenant: str, login: str, *, actor: Actor, now: dt.datetime, lasts: dt.timedelta) -> str:
    """The secret of a link that sets a new password; links of before end. Raises AccessRefusedError.

    An account of the OpenID provider has no password, and gets no link.
    """
    with engine.begin() as connection:
        found = _existing(connection, tenant, login)
        if found.issuer is not None:
            raise AccessRefusedError(f"{login} signs in with the OpenID provider and has no password here")
        if found.disabled_at is not None:
            raise AccessRefusedError(f"{login} is disabled")
        _record(connection, tenant, "access.link", login, actor=actor, now=now)
        return _new_link(connection, tenant, login, by=actor, now=now, lasts=lasts)


def link_login(engine: Engine, tenant: str, secret: str, *, now: dt.datetime) -> str | None:
    """The account that a link is for; None for the one that makes the first. Raises LinkRefusedError."""
    with engine.begin() as connection:
        return _login_of_link(connection, tenant, secret, now)


def use_link(
    engine: Engine,
    tenant: str,
    secret: str,
    *,
    login: str,
    name: str,
    password: str,
    now: dt.datetime,
) -> str:
    """Set a password by a one-time link, once; answers with the account's login, whose browsers are signed out.

    `login` and `name` are those of the first administrator, and not looked at for a link to an account. Raises
    LinkRefusedError for the link, AccessRefusedError for what was typed.
    """
    with engine.begin() as connection:
        known = _login_of_link(connection, tenant, secret, now)
        subject = checked_login(login) if known is None else known
        kept = passwords.hash_password(checked_password(password, subject))
        if known is None:
            if access.any_account(connection, tenant):
                raise LinkRefusedError("somebody has made the first account already")
            access.add_account(connection, tenant, _new_account(subject, _checked_name(name), now))
            access.grant(connection, tenant, subject, Grant(Role.ADMIN), by=THIS_MACHINE.id, now=now)
            for role in (role for role in Role if role is not Role.ADMIN):
                access.grant(connection, tenant, subject, Grant(role), by=THIS_MACHINE.id, now=now)
        elif _existing(connection, tenant, subject).disabled_at is not None:
            raise LinkRefusedError("the account is disabled")
        access.change_account(connection, tenant, subject, password_hash=kept)
        access.end_link(connection, tenant, passwords.hash_secret(secret), now)
        sign_ins.end(connection, tenant, now, login=subject)
        kind = "access.first_account" if known is None else "access.password_set"
        audit.record(connection, tenant, kind=kind, subject=subject, actor=subject, detail={}, now=now)
    return subject


def change_password(engine: Engine, tenant: str, login: str, *, old: str, new: str, now: dt.datetime) -> None:
    """Change one's own password, and sign out every browser. Raises AccessRefusedError."""
    with engine.begin() as connection:
        found = _existing(connection, tenant, login)
        if not passwords.verify_password(found.password_hash, old):
            raise AccessRefusedError("that is not the present password")
        kept = passwords.hash_password(checked_password(new, login))
        access.change_account(connection, tenant, login, password_hash=kept)
        sign_ins.end(connection, tenant, now, login=login)
        audit.record(connection, tenant, kind="access.password_set", subject=login, actor=login, detail={}, now=now)


def create_token(
    engine: Engine,
    tenant: str,
    login: str,
    name: str,
    limits: Limits,
    *,
    lasts: dt.timedelta,
    actor: Actor,
    now: dt.datetime,
) -> str:
    """A new token of an account; the answer is the only time that it is seen. Raises AccessRefusedError.

    Whatever its limits are, it may do no more than its owner at each moment.
    """
    if not dt.timedelta(0) < lasts <= LONGEST_TOKEN:
        raise AccessRefusedError(f"a token lasts from a day to {LONGEST_TOKEN.days} days")
    if not limits.permissions:
        raise AccessRefusedError("a token needs at least one permission")
    prefix, secret = passwords.new_secret().replace("_", "x").replace("-", "x")[:_PREFIX], passwords.new_secret()
    with engine.begin() as connection:
        owner = _existing(connection, tenant, login)
        if owner.disabled_at is not None:
            raise AccessRefusedError(f"{login} is disabled")
        token = Token(
            prefix=prefix,
            login=login,
            name=_checked_name(name),
            secret_hash=passwords.hash_secret(secret),
            limits=limits,
            created_at=now,
            expires_at=now + lasts,
            last_used_at=None,
            revoked_at=None,
        )
        access.add_token(connection, tenant, token)
        entities = None if limits.entities is None else sorted(limits.entities)
        detail = {"login": login, "permissions": sorted(limits.permissions), "legal_entities": entities}
        _record(connection, tenant, "access.token_created", prefix, actor=actor, now=now, **detail)
    return f"{TOKEN_MARK}{prefix}_{secret}"


def revoke_token(
    engine: Engine, tenant: str, prefix: str, *, actor: Actor, now: dt.datetime, login: str | None = None
) -> None:
    """End a token; with `login` only one of that account. Raises AccessRefusedError where there is none alive."""
    with engine.begin() as connection:
        if not access.revoke_tokens(connection, tenant, login, now, prefix=prefix):
            raise AccessRefusedError(f"there is no token {prefix} to revoke")
        _record(connection, tenant, "access.token_revoked", prefix, actor=actor, now=now)


def list_tokens(connection: Connection, tenant: str, login: str | None, now: dt.datetime) -> list[TokenLine]:
    """All tokens, or those of an account, the newest first."""
    return [
        TokenLine(
            prefix=token.prefix,
            login=token.login,
            name=token.name,
            permissions=tuple(p for p in Permission if p in token.limits.permissions),
            legal_entities=None if token.limits.entities is None else tuple(sorted(token.limits.entities)),
            created_at=token.created_at,
            expires_at=token.expires_at,
            last_used_at=token.last_used_at,
            state="revoked" if token.revoked_at else "expired" if token.expires_at <= now else "alive",
        )
        for token in access.tokens(connection, tenant, login)
    ]


def spelled(grant: Grant) -> str:
    """A grant as commands and pages write it: operator, or operator:UK."""
    return grant.role.value if grant.legal_entity is None else f"{grant.role.value}:{grant.legal_entity}"


def parse_grant(text: str, entities: Collection[str]) -> Grant:
    """The grant that a text such as operator or operator:UK means. Raises AccessRefusedError."""
    role, _, entity = text.strip().partition(":")
    if role not in list(Role):
        raise AccessRefusedError(f"there is no role {role!r}; roles are {', '.join(Role)}")
    if entity and entity not in entities:
        raise AccessRefusedError(f"there is no legal entity {entity!r}; there are {', '.join(entities)}")
    return _checked_grant(Grant(Role(role), entity or None))


def checked_login(login: str) -> str:
    """The login as it is kept, in small letters. Raises AccessRefusedError."""
    kept = login.strip().lower()
    if not _LOGIN.fullmatch(kept):
        raise AccessRefusedError("a sign-in name has up to 120 letters, digits and . _ @ + - and no space")
    if kept in _RESERVED:
        raise AccessRefusedError(f"{kept} is a name of the program's own")
    return kept


def checked_password(password: str, login: str) -> str:
    """A password that may be set. Raises AccessRefusedError.

    Length is what counts (NIST SP 800-63B): no rules about kinds of characters.
    """
    if not FEWEST_CHARACTERS <= len(password) <= MOST_CHARACTERS:
        raise AccessRefusedError(f"a password has {FEWEST_CHARACTERS} to {MOST_CHARACTERS} characters")
    if len(set(password)) < FEWEST_CHARACTERS // 3 or password.lower() in (login, login * 2):
        raise AccessRefusedError("that password is too easy to guess")
    return password


def _existing(connection: Connection, tenant: str, login: str) -> Account:
    found = access.account_of(connection, tenant, login, lock=True)
    if found is None:
        raise AccessRefusedError(f"there is no account {login}")
    return found


def _refuse_the_last(connection: Connection, tenant: str, login: str) -> None:
    if access.administrators(connection, tenant) == {login}:
        raise AccessRefusedError(f"{login} is the only administrator; make another one first")


def _checked_grant(grant: Grant) -> Grant:
    if grant.role is Role.ADMIN and grant.legal_entity is not None:
        raise AccessRefusedError("an admin is one for all legal entities")
    return grant


def _checked_name(name: str) -> str:
    kept = name.strip()
    if not _NAME.fullmatch(kept):
        raise AccessRefusedError("a name has 1 to 120 characters")
    return kept


def _new_account(login: str, name: str, now: dt.datetime) -> Account:
    return Account(
        login=login,
        name=name,
        password_hash=None,
        issuer=None,
        subject=None,
        created_at=now,
        disabled_at=None,
        last_signed_in_at=None,
    )


def _new_link(
    connection: Connection, tenant: str, login: str | None, *, by: Actor, now: dt.datetime, lasts: dt.timedelta
) -> str:
    secret = passwords.new_secret()
    access.add_link(
        connection,
        tenant,
        passwords.hash_secret(secret),
        login=login,
        by=by.id,
        created_at=now,
        expires_at=now + lasts,
    )
    return secret


def _login_of_link(connection: Connection, tenant: str, secret: str, now: dt.datetime) -> str | None:
    row = access.open_link(connection, tenant, passwords.hash_secret(secret), now)
    if row is None:
        raise LinkRefusedError("the link is not known, was used, or is too old")
    login: str | None = row.login
    return login


def _how(account: Account) -> str:
    if account.issuer is not None:
        return "openid"
    return "invited" if account.password_hash is None else "password"


def _record(
    connection: Connection, tenant: str, kind: str, subject: str, *, actor: Actor, now: dt.datetime, **detail: object
) -> None:
    audit.record(connection, tenant, kind=kind, subject=subject, actor=actor.id, detail=detail, now=now)
