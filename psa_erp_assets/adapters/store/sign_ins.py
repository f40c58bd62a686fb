"""Who is signed in with which browser, and the attempts to sign in, in the store."""

import datetime as dt
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from psa_erp_assets.adapters.store.schema_access import account, sign_in_attempt, signed_in

_KEPT = dt.timedelta(days=1)
# Names the advisory lock of one name's attempts; any number will do as long as it stays the same.
_LOCK = 5_072_118


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """A browser that somebody has signed in with."""

    id: int
    login: str
    how: str
    browser: str
    address: str
    created_at: dt.datetime
    last_seen_at: dt.datetime
    expires_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """Attempts that failed, or have not ended, within the time looked at."""

    of_both: int
    of_login: int
    of_address: int


def begin(
    connection: Connection,
    tenant: str,
    secret_hash: str,
    *,
    login: str,
    how: str,
    browser: str,
    address: str,
    **times: dt.datetime,
) -> None:
    """Somebody has signed in; `times` are created_at, last_seen_at and expires_at."""
    connection.execute(
        insert(signed_in).values(
            tenant=tenant, secret_hash=secret_hash, login=login, how=how, browser=browser, address=address, **times
        )
    )


def find(connection: Connection, tenant: str, secret_hash: str) -> SignIn | None:
    """Who is signed in with a browser's secret: not ended, and the account not disabled. Its times are to be judged."""
    statement = (
        select(signed_in)
        .join(account, (account.c.tenant == signed_in.c.tenant) & (account.c.login == signed_in.c.login))
        .where(
            signed_in.c.tenant == tenant,
            signed_in.c.secret_hash == secret_hash,
            signed_in.c.ended_at.is_(None),
            account.c.disabled_at.is_(None),
        )
    )
    row = connection.execute(statement).first()
    return None if row is None else _sign_in(row)


def of_account(connection: Connection, tenant: str, login: str) -> list[SignIn]:
    """Those of an account that have not ended, the one seen last first. Their times are to be judged."""
    table = signed_in.c
    statement = select(signed_in).where(table.tenant == tenant, table.login == login, table.ended_at.is_(None))
    return [_sign_in(row) for row in connection.execute(statement.order_by(table.last_seen_at.desc()))]


def seen(connection: Connection, tenant: str, sign_in_id: int, now: dt.datetime) -> None:
    """Somebody is still there."""
    connection.execute(
        update(signed_in).where(signed_in.c.tenant == tenant, signed_in.c.id == sign_in_id).values(last_seen_at=now)
    )


def end(
    connection: Connection,
    tenant: str,
    now: dt.datetime,
    *,
    secret_hash: str | None = None,
    login: str | None = None,
    sign_in_id: int | None = None,
) -> int:
    """End what is signed in by secret, or of a login, or of a login and an id; how many that were."""
    table = signed_in.c
    statement = update(signed_in).where(table.tenant == tenant, table.ended_at.is_(None)).values(ended_at=now)
    for column, value in ((table.secret_hash, secret_hash), (table.login, login), (table.id, sign_in_id)):
        if value is not None:
            statement = statement.where(column == value)
    return connection.execute(statement).rowcount


def attempt(connection: Connection, tenant: str, login_hash: str, address: str, now: dt.datetime) -> int:
    """Write down an attempt, as failed until it succeeds; answers with its id. Those of the day before are forgotten.

    Attempts for one name wait for each other until the transaction ends, so that many at once are counted one by one.
    """
    table = sign_in_attempt.c
    connection.execute(delete(sign_in_attempt).where(table.tenant == tenant, table.at < now - _KEPT))
    statement = insert(sign_in_attempt).values(
        tenant=tenant, login_hash=login_hash, address=address, at=now, succeeded=False
    )
    attempt_id: int = connection.execute(statement.returning(table.id)).scalar_one()
    return attempt_id


def failures(connection: Connection, tenant: str, login_hash: str, address: str, since: dt.datetime) -> Failures:
    """How often it failed since an instant, for a name and from an address; see `attempt` about the waiting."""
    connection.execute(select(func.pg_advisory_xact_lock(_LOCK, func.hashtext(tenant + login_hash))))
    table = sign_in_attempt.c
    login, origin = table.login_hash == login_hash, table.address == address
    row = connection.execute(
        select(
            func.count().filter(login & origin).label("both"),
            func.count().filter(login).label("login"),
            func.count().filter(origin).label("address"),
        ).where(table.tenant == tenant, table.at > since, table.succeeded.is_(False), login | origin)
    ).one()
    return Failures(of_both=row.both, of_login=row.login, of_address=row.address)


def succeeded(connection: Connection, attempt_id: int) -> None:
    """An attempt was none of guessing."""
    connection.execute(update(sign_in_attempt).where(sign_in_attempt.c.id == attempt_id).values(succeeded=True))


def _sign_in(row: object) -> SignIn:
    names = ("id", "login", "how", "browser", "address", "created_at", "last_seen_at", "expires_at")
    return SignIn(**{name: getattr(row, name) for name in names})
