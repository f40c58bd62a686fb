"""Proving who somebody is: by password, by the OpenID provider, by the secret of a signed-in browser, or by a token.

Answers tell nothing about accounts: an unknown name, a wrong password and a disabled account are one refusal, and take
equally long.
"""

import datetime as dt
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine

from psa_erp_assets.adapters import passwords
from psa_erp_assets.adapters.openid import OpenIdProvider
from psa_erp_assets.adapters.store import access, sign_ins
from psa_erp_assets.adapters.store.access import Account, Token
from psa_erp_assets.adapters.store.sign_ins import SignIn
from psa_erp_assets.domain.access import Actor, Grant
from psa_erp_assets.domain.audit import Personal
from psa_erp_assets.services import audit
from psa_erp_assets.services.accounts import TOKEN_MARK, AccessRefusedError, checked_login
from psa_erp_assets.services.refusals import note_refusal
from psa_erp_assets.settings import GroupRoleSettings, OpenIdSettings

_WINDOW = dt.timedelta(minutes=15)
# Guesses within the window: at one name from one address, at one name from anywhere, from one address at any name.
# The second is high, because whoever can reach it could keep its owner out.
_OF_BOTH, _OF_LOGIN, _OF_ADDRESS = 5, 50, 30
# The time is written down no more often than this, so that reading a page writes nothing.
_SEEN_EVERY = dt.timedelta(minutes=1)
_BROWSER, _ADDRESS = 200, 100

UNKNOWN = "unknown"
"""In an entry: a name that is of no account. It is not kept, because it may be a password."""


class SignInRefusedError(Exception):
    """Nobody was signed in; the message tells nothing about accounts."""


class TooManyAttemptsError(SignInRefusedError):
    """Too many attempts failed; `retry_after` is how long to wait, in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too many attempts; try again in {retry_after // 60} minutes")
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """How long somebody stays signed in: without asking for anything, and at most."""

    idle: dt.timedelta
    longest: dt.timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Browser:
    """Where a request comes from: the address for limits, the name for its owner to know it by."""

    address: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who is signed in with a browser. `csrf` is what their forms repeat."""

    actor: Actor
    csrf: str
    sign_in_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program with a token. `prefix` is the token's beginning, by which it is known and which is no secret."""

    actor: Actor
    prefix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingSignIn:
    """What a browser keeps while its user is at the OpenID provider."""

    state: str
    nonce: str
    verifier: str


def sign_in_with_password(
    engine: Engine,
    tenant: str,
    login: str,
    password: str,
    *,
    browser: Browser,
    lifetimes: Lifetimes,
    now: dt.datetime,
    before: str | None = None,
) -> str:
    """Sign somebody in; answers with the secret that their browser keeps. `before` is the one it had, which ends.

    Raises SignInRefusedError, and TooManyAttemptsError before anything is compared. The first failure of a name from an
    address within the window, and the one that closes it, are entries of the audit log.
    """
    subject, known = passwords.hash_secret(login.strip().lower()), None
    with engine.begin() as connection:
        failed = sign_ins.failures(connection, tenant, subject, browser.address[:_ADDRESS], now - _WINDOW)
        limits = (failed.of_both, _OF_BOTH), (failed.of_login, _OF_LOGIN), (failed.of_address, _OF_ADDRESS)
        if any(count >= most for count, most in limits):
            raise TooManyAttemptsError(int(_WINDOW.total_seconds()))
        # It counts as failed from now on, so that guesses side by side do not pass together.
        attempt = sign_ins.attempt(connection, tenant, subject, browser.address[:_ADDRESS], now)
        try:
            known = access.account_of(connection, tenant, checked_login(login))
        except AccessRefusedError:
            known = None
    right = passwords.verify_password(known.password_hash if known is not None else None, password)
    with engine.begin() as connection:
        account = None if known is None else access.account_of(connection, tenant, known.login, lock=True)
        # A password that was changed meanwhile is not the one that was right.
        same = account is not None and known is not None and account.password_hash == known.password_hash
        if right and account is not None and same and account.disabled_at is None:
            sign_ins.succeeded(connection, attempt)
            if account.password_hash is not None and passwords.is_outdated(account.password_hash):
                new = passwords.hash_password(password)
                access.change_account(connection, tenant, account.login, password_hash=new)
            return _begin(
                connection,
                tenant,
                account,
                how="password",
                browser=browser,
                lifetimes=lifetimes,
                now=now,
                before=before,
            )
    closes = any(count + 1 >= most for count, most in limits)
    if failed.of_both == 0 or closes:
        _note_failure(engine, tenant, known, how="password", closes=closes, browser=browser, now=now)
    raise SignInRefusedError("the sign-in name or the password is not right")


def sign_in_after_link(
    engine: Engine, tenant: str, login: str, *, browser: Browser, lifetimes: Lifetimes, now: dt.datetime
) -> str:
    """Sign in whoever has just set a password by a one-time link; the secret that their browser keeps."""
    with engine.begin() as connection:
        account = access.account_of(connection, tenant, login, lock=True)
        if account is None or account.disabled_at is not None:
            raise SignInRefusedError("the account is disabled")
        return _begin(
            connection, tenant, account, how="link", browser=browser, lifetimes=lifetimes, now=now, before=None
        )


def begin_openid(provider: OpenIdProvider, redirect_uri: str, now: dt.datetime) -> tuple[str, PendingSignIn]:
    """The provider's page for somebody to sign in on, and what their browser keeps meanwhile. Raises OpenIdError."""
    pending = PendingSignIn(
        state=passwords.new_secret(), nonce=passwords.new_secret(), verifier=secrets.token_urlsafe(48)
    )
    url = provider.authorization_url(
        redirect_uri, state=pending.state, nonce=pending.nonce, verifier=pending.verifier, now=now
    )
    return url, pending


def finish_openid(
    engine: Engine,
    tenant: str,
    claims: Mapping[str, Any],
    settings: OpenIdSettings,
    *,
    browser: Browser,
    lifetimes: Lifetimes,
    now: dt.datetime,
    before: str | None = None,
) -> str:
    """Sign in whom the provider's verified claims name; the secret that their browser keeps.

    Their account is made at the first time, and its roles from the provider are those of their groups each time.
    Raises SignInRefusedError for a name that another account has, one that the provider has not verified, a disabled
    account, and somebody without any role; that is an entry of the audit log.
    """
    try:
        return _finish_openid(
            engine, tenant, claims, settings, browser=browser, lifetimes=lifetimes, now=now, before=before
        )
    except SignInRefusedError:
        with engine.connect() as connection:
            known = access.account_of_subject(connection, tenant, settings.issuer, claims["sub"])
        _note_failure(engine, tenant, known, how="openid", closes=False, browser=browser, now=now)
        raise


def _finish_openid(
    engine: Engine,
    tenant: str,
    claims: Mapping[str, Any],
    settings: OpenIdSettings,
    *,
    browser: Browser,
    lifetimes: Lifetimes,
    now: dt.datetime,
    before: str | None,
) -> str:
    login = _login_of(claims, settings)
    grants = frozenset(_grants(claims, settings))
    name = str(claims.get("name") or login)[:120].strip() or login
    with engine.begin() as connection:
        account = access.account_of_subject(connection, tenant, settings.issuer, claims["sub"])
        if account is None:
            if not grants:
                raise SignInRefusedError("none of your groups has a role here; ask an administrator")
            account = Account(
                login=login,
                name=name,
                password_hash=None,
                issuer=settings.issuer,
                subject=claims["sub"],
                created_at=now,
                disabled_at=None,
                last_signed_in_at=None,
            )
            # Not taken over: whoever names an address at the provider need not be who has the account here.
            if not access.add_account(connection, tenant, account):
                raise SignInRefusedError(f"{login} is an account with a password here; ask an administrator")
            audit.record(
                connection,
                tenant,
                kind="access.account_added",
                subject=login,
                actor=login,
                detail={"issuer": settings.issuer},
                now=now,
            )
        if account.disabled_at is not None:
            raise SignInRefusedError("the account is disabled")
        if access.replace_provider_grants(connection, tenant, account.login, grants, by=settings.issuer, now=now):
            roles = sorted(f"{grant.role.value}:{grant.legal_entity or '*'}" for grant in grants)
            audit.record(
                connection,
                tenant,
                kind="access.granted",
                subject=account.login,
                actor="psa-erp",
                detail={"by_groups": roles},
                now=now,
            )
        # A person who has lost the last role loses it here although nobody is let in.
        if access.grants_of(connection, tenant, account.login):
            return _begin(
                connection, tenant, account, how="openid", browser=browser, lifetimes=lifetimes, now=now, before=before
            )
    raise SignInRefusedError("none of your groups has a role here; ask an administrator")


def person(engine: Engine, tenant: str, secret: str, *, lifetimes: Lifetimes, now: dt.datetime) -> Person | None:
    """Who is signed in with a browser's secret; None where nobody is, or no longer."""
    with engine.connect() as connection:
        found = sign_ins.find(connection, tenant, passwords.hash_secret(secret))
        if found is None or not is_alive(found, lifetimes, now):
            return None
        actor = _actor(connection, tenant, found.login)
    if now - found.last_seen_at >= _SEEN_EVERY:
        with engine.begin() as connection:
            sign_ins.seen(connection, tenant, found.id, now)
    return Person(actor=actor, csrf=passwords.derived(secret, "csrf"), sign_in_id=found.id)


def is_alive(found: SignIn, lifetimes: Lifetimes, now: dt.datetime) -> bool:
    """Whether somebody is still signed in."""
    return now < found.expires_at and now - found.last_seen_at < lifetimes.idle


def program(engine: Engine, tenant: str, text: str, *, now: dt.datetime) -> Program | None:
    """Whose token a text is, with the token's limits; None where it is none, or of no use any more.

    A token that was revoked, has expired, is of a disabled account or has another secret is an entry of the audit log;
    what is no token at all is none, as anybody can send that.
    """
    prefix, _, secret = text.removeprefix(TOKEN_MARK).partition("_")
    if not text.startswith(TOKEN_MARK) or not secret:
        return None
    with engine.connect() as connection:
        token = access.token_of(connection, tenant, prefix)
        if token is None:
            return None
        owner = access.account_of(connection, tenant, token.login)
        grants = access.grants_of(connection, tenant, token.login)
    why = _why_refused(token, owner, secret, now)
    if why is not None or owner is None:
        subject, detail = f"token:{prefix}", {"why": why, "owner": token.login}
        note_refusal(engine, tenant, kind="access.token_refused", subject=subject, detail=detail, now=now, once=True)
        return None
    if token.last_used_at is None or now - token.last_used_at >= _SEEN_EVERY:
        with engine.begin() as connection:
            access.token_used(connection, tenant, prefix, now)
    actor = Actor(id=owner.login, name=f"{owner.name} ({token.name})", grants=grants, limits=token.limits)
    return Program(actor=actor, prefix=prefix)


def sign_out(engine: Engine, tenant: str, secret: str, *, now: dt.datetime) -> None:
    """End a browser's being signed in."""
    secret_hash = passwords.hash_secret(secret)
    with engine.begin() as connection:
        found = sign_ins.find(connection, tenant, secret_hash)
        if sign_ins.end(connection, tenant, now, secret_hash=secret_hash) and found is not None:
            _note_end(connection, tenant, found.login, 1, now)


def sign_out_others(engine: Engine, tenant: str, login: str, *, now: dt.datetime, sign_in_id: int | None = None) -> int:
    """End one browser of an account by its id, or all of them; how many that were."""
    with engine.begin() as connection:
        ended = sign_ins.end(connection, tenant, now, login=login, sign_in_id=sign_in_id)
        if ended:
            _note_end(connection, tenant, login, ended, now)
    return ended


def _why_refused(token: Token, owner: Account | None, secret: str, now: dt.datetime) -> str | None:
    """Why a token lets nobody in; None where it does."""
    if not passwords.same(token.secret_hash, passwords.hash_secret(secret)):
        return "another secret"
    if token.revoked_at is not None:
        return "revoked"
    if token.expires_at <= now:
        return "expired"
    return "account disabled" if owner is None or owner.disabled_at is not None else None


def _note_failure(
    engine: Engine,
    tenant: str,
    known: Account | None,
    *,
    how: str,
    closes: bool,
    browser: Browser,
    now: dt.datetime,
) -> None:
    subject = UNKNOWN if known is None else known.login
    detail = {"how": how, "closes_for_a_while": closes, "address": Personal(browser.address[:_ADDRESS], subject)}
    note_refusal(engine, tenant, kind="access.sign_in_failed", subject=subject, detail=detail, now=now)


def _note_end(connection: Connection, tenant: str, login: str, browsers: int, now: dt.datetime) -> None:
    detail = {"browsers": browsers}
    audit.record(connection, tenant, kind="access.signed_out", subject=login, actor=login, detail=detail, now=now)


def _begin(
    connection: Connection,
    tenant: str,
    account: Account,
    *,
    how: str,
    browser: Browser,
    lifetimes: Lifetimes,
    now: dt.datetime,
    before: str | None,
) -> str:
    # A secret of before is never kept on: somebody else may have put it there.
    if before is not None:
        sign_ins.end(connection, tenant, now, secret_hash=passwords.hash_secret(before))
    secret = passwords.new_secret()
    sign_ins.begin(
        connection,
        tenant,
        passwords.hash_secret(secret),
        login=account.login,
        how=how,
        browser=_printable(browser.name)[:_BROWSER],
        address=_printable(browser.address)[:_ADDRESS],
        created_at=now,
        last_seen_at=now,
        expires_at=now + lifetimes.longest,
    )
    access.change_account(connection, tenant, account.login, last_signed_in_at=now)
    audit.record(
        connection,
        tenant,
        kind="access.signed_in",
        subject=account.login,
        actor=account.login,
        detail={"how": how},
        now=now,
    )
    return secret


def _actor(connection: Connection, tenant: str, login: str) -> Actor:
    account = access.account_of(connection, tenant, login)
    name = login if account is None else account.name
    return Actor(id=login, name=name, grants=access.grants_of(connection, tenant, login))


def _login_of(claims: Mapping[str, Any], settings: OpenIdSettings) -> str:
    value = claims.get(settings.login_claim)
    if not isinstance(value, str):
        raise SignInRefusedError("the OpenID provider does not say your name here; ask an administrator")
    if settings.login_claim == "email" and claims.get("email_verified") is False:
        raise SignInRefusedError("the OpenID provider has not verified your address")
    try:
        return checked_login(value)
    except AccessRefusedError as error:
        raise SignInRefusedError(str(error)) from error


def _grants(claims: Mapping[str, Any], settings: OpenIdSettings) -> Iterable[Grant]:
    groups = claims.get(settings.groups_claim)
    mine = groups if isinstance(groups, list) else [groups]
    for rule in settings.roles:
        if rule.group in mine:
            yield from _grants_of(rule)


def _grants_of(rule: GroupRoleSettings) -> Sequence[Grant]:
    if rule.legal_entities is None:
        return [Grant(rule.role)]
    return [Grant(rule.role, entity) for entity in rule.legal_entities]


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())
