"""Accounts, roles, tokens and one-time links in the store."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from psa_erp_assets.adapters.store.schema_access import (
    ALL_ENTITIES,
    account,
    account_grant,
    api_token,
    one_time_link,
    signed_in,
)
from psa_erp_assets.domain.access import Grant, Limits, Permission, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Somebody who may sign in. `issuer` and `subject` are those of an OpenID provider."""

    login: str
    name: str
    password_hash: str | None
    issuer: str | None
    subject: str | None
    created_at: dt.datetime
    disabled_at: dt.datetime | None
    last_signed_in_at: dt.datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A program's key, without its secret."""

    prefix: str
    login: str
    name: str
    secret_hash: str
    limits: Limits
    created_at: dt.datetime
    expires_at: dt.datetime
    last_used_at: dt.datetime | None
    revoked_at: dt.datetime | None


def any_account(connection: Connection, tenant: str) -> bool:
    """Whether somebody has an account, disabled or not."""
    return connection.execute(select(account.c.login).where(account.c.tenant == tenant).limit(1)).first() is not None


def add_account(connection: Connection, tenant: str, new: Account) -> bool:
    """Add an account; False where its login is taken."""
    values = {
        "login": new.login,
        "name": new.name,
        "password_hash": new.password_hash,
        "issuer": new.issuer,
        "subject": new.subject,
        "created_at": new.created_at,
        "disabled_at": new.disabled_at,
        "last_signed_in_at": new.last_signed_in_at,
    }
    statement = pg_insert(account).values(tenant=tenant, **values).on_conflict_do_nothing()
    return connection.execute(statement.returning(account.c.login)).first() is not None


def change_account(connection: Connection, tenant: str, login: str, **changes: Any) -> None:
    """Set columns of an account."""
    connection.execute(update(account).where(account.c.tenant == tenant, account.c.login == login).values(**changes))


def account_of(connection: Connection, tenant: str, login: str, *, lock: bool = False) -> Account | None:
    """The account of a login; with `lock` nobody else changes it before the transaction ends."""
    statement = select(account).where(account.c.tenant == tenant, account.c.login == login)
    row = connection.execute(statement.with_for_update() if lock else statement).first()
    return None if row is None else _account(row)


def account_of_subject(connection: Connection, tenant: str, issuer: str, subject: str) -> Account | None:
    """The account of whoever an OpenID provider knows under a subject."""
    found = account.c.tenant == tenant, account.c.issuer == issuer, account.c.subject == subject
    row = connection.execute(select(account).where(*found)).first()
    return None if row is None else _account(row)


def accounts(connection: Connection, tenant: str) -> list[Account]:
    """All accounts, by login."""
    rows = connection.execute(select(account).where(account.c.tenant == tenant).order_by(account.c.login))
    return [_account(row) for row in rows]


def grants_of(connection: Connection, tenant: str, login: str) -> frozenset[Grant]:
    """The roles of an account, given here or by the provider."""
    return grants(connection, tenant, login).get(login, frozenset())


def grants(connection: Connection, tenant: str, login: str | None = None) -> dict[str, frozenset[Grant]]:
    """The roles of all accounts, or of one, by login."""
    table = account_grant.c
    statement = select(table.login, table.role, table.legal_entity).where(table.tenant == tenant)
    if login is not None:
        statement = statement.where(table.login == login)
    found: dict[str, set[Grant]] = {}
    for row in connection.execute(statement):
        entity = None if row.legal_entity == ALL_ENTITIES else row.legal_entity
        found.setdefault(row.login, set()).add(Grant(Role(row.role), entity))
    return {login: frozenset(mine) for login, mine in found.items()}


def grant(connection: Connection, tenant: str, login: str, new: Grant, *, by: str, now: dt.datetime) -> bool:
    """Give a role; False where the account has it."""
    statement = pg_insert(account_grant).values(_grant_values(tenant, login, new, by, now, from_provider=False))
    returned = connection.execute(statement.on_conflict_do_nothing().returning(account_grant.c.login))
    return returned.first() is not None


def revoke_grant(connection: Connection, tenant: str, login: str, old: Grant) -> bool:
    """Take a role that was given here; False where the account has none such."""
    table = account_grant.c
    gone = connection.execute(
        delete(account_grant)
        .where(
            table.tenant == tenant,
            table.login == login,
            table.role == old.role,
            table.legal_entity == (old.legal_entity or ALL_ENTITIES),
            table.from_provider.is_(False),
        )
        .returning(table.login)
    )
    return gone.first() is not None


def replace_provider_grants(
    connection: Connection, tenant: str, login: str, new: Iterable[Grant], *, by: str, now: dt.datetime
) -> bool:
    """The roles that the provider's groups give, in place of those of before; whether anything changed."""
    table = account_grant.c
    mine = table.tenant == tenant, table.login == login, table.from_provider.is_(True)
    before = {
        (row.role, row.legal_entity) for row in connection.execute(select(table.role, table.legal_entity).where(*mine))
    }
    values = [_grant_values(tenant, login, one, by, now, from_provider=True) for one in set(new)]
    if before == {(one["role"], one["legal_entity"]) for one in values}:
        return False
    connection.execute(delete(account_grant).where(*mine))
    if values:
        connection.execute(insert(account_grant), values)
    return True


def administrators(connection: Connection, tenant: str) -> frozenset[str]:
    """Logins of the accounts that are not disabled and have the role admin for every legal entity."""
    table = account_grant.c
    rows = connection.execute(
        select(table.login)
        .join(account, (account.c.tenant == table.tenant) & (account.c.login == table.login))
        .where(
            table.tenant == tenant,
            table.role == Role.ADMIN,
            table.legal_entity == ALL_ENTITIES,
            account.c.disabled_at.is_(None),
        )
        .with_for_update(of=account)
    )
    return frozenset(rows.scalars())


def add_link(
    connection: Connection, tenant: str, secret_hash: str, *, login: str | None, by: str, **times: Any
) -> None:
    """Keep a one-time link; `times` are created_at and expires_at. The links of the same login before end."""
    table = one_time_link.c
    same = table.login.is_(None) if login is None else table.login == login
    connection.execute(
        update(one_time_link)
        .where(table.tenant == tenant, same, table.used_at.is_(None))
        .values(used_at=times["created_at"])
    )
    connection.execute(
        insert(one_time_link).values(tenant=tenant, secret_hash=secret_hash, login=login, created_by=by, **times)
    )


def open_link(connection: Connection, tenant: str, secret_hash: str, now: dt.datetime) -> Row[Any] | None:
    """The login that a link is for, where it can still be used; the row stays locked until the transaction ends."""
    table = one_time_link.c
    statement = select(table.login).where(
        table.tenant == tenant, table.secret_hash == secret_hash, table.used_at.is_(None), table.expires_at > now
    )
    return connection.execute(statement.with_for_update()).first()


def end_link(connection: Connection, tenant: str, secret_hash: str, now: dt.datetime) -> None:
    """A link has been used."""
    table = one_time_link.c
    connection.execute(
        update(one_time_link).where(table.tenant == tenant, table.secret_hash == secret_hash).values(used_at=now)
    )


def add_token(connection: Connection, tenant: str, new: Token) -> None:
    """Keep a token."""
    entities = new.limits.entities
    connection.execute(
        insert(api_token).values(
            tenant=tenant,
            prefix=new.prefix,
            login=new.login,
            name=new.name,
            secret_hash=new.secret_hash,
            permissions=sorted(new.limits.permissions),
            legal_entities=None if entities is None else sorted(entities),
            created_at=new.created_at,
            expires_at=new.expires_at,
        )
    )


def token_of(connection: Connection, tenant: str, prefix: str) -> Token | None:
    """The token of a prefix."""
    row = connection.execute(
        select(api_token).where(api_token.c.tenant == tenant, api_token.c.prefix == prefix)
    ).first()
    return None if row is None else _token(row)


def tokens(connection: Connection, tenant: str, login: str | None = None) -> list[Token]:
    """All tokens, or those of one account, the newest first."""
    statement = select(api_token).where(api_token.c.tenant == tenant).order_by(api_token.c.created_at.desc())
    if login is not None:
        statement = statement.where(api_token.c.login == login)
    return [_token(row) for row in connection.execute(statement)]


def token_used(connection: Connection, tenant: str, prefix: str, now: dt.datetime) -> None:
    """Remember when a token was last used."""
    connection.execute(
        update(api_token).where(api_token.c.tenant == tenant, api_token.c.prefix == prefix).values(last_used_at=now)
    )


def revoke_tokens(
    connection: Connection, tenant: str, login: str | None, now: dt.datetime, *, prefix: str | None = None
) -> list[str]:
    """End the tokens of an account, of a prefix, or both; answers with the prefixes that were alive."""
    table = api_token.c
    statement = update(api_token).where(table.tenant == tenant, table.revoked_at.is_(None)).values(revoked_at=now)
    if login is not None:
        statement = statement.where(table.login == login)
    if prefix is not None:
        statement = statement.where(table.prefix == prefix)
    return list(connection.execute(statement.returning(table.prefix)).scalars())


def signed_in_counts(connection: Connection, tenant: str, now: dt.datetime) -> dict[str, int]:
    """How many browsers are signed in, by login."""
    table = signed_in.c
    rows = connection.execute(
        select(table.login, func.count())
        .where(table.tenant == tenant, table.ended_at.is_(None), table.expires_at > now)
        .group_by(table.login)
    )
    return {row[0]: row[1] for row in rows}


def _grant_values(
    tenant: str, login: str, new: Grant, by: str, now: dt.datetime, *, from_provider: bool
) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "login": login,
        "role": new.role.value,
        "legal_entity": new.legal_entity or ALL_ENTITIES,
        "from_provider": from_provider,
        "granted_by": by,
        "granted_at": now,
    }


def _account(row: Row[Any]) -> Account:
    return Account(
        login=row.login,
        name=row.name,
        password_hash=row.password_hash,
        issuer=row.issuer,
        subject=row.subject,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        last_signed_in_at=row.last_signed_in_at,
    )


def _token(row: Row[Any]) -> Token:
    return Token(
        prefix=row.prefix,
        login=row.login,
        name=row.name,
        secret_hash=row.secret_hash,
        limits=Limits(
            permissions=frozenset(map(Permission, row.permissions)),
            entities=None if row.legal_entities is None else frozenset(row.legal_entities),
        ),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )
