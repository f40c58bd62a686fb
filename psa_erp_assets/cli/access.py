"""`psa-erp users` and `psa-erp tokens`: who may sign in, with which roles, and the keys of programs."""

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from psa_erp_assets.cli.options import Json, check_entity
from psa_erp_assets.cli.output import emit, explained, fail, print_table, stdout
from psa_erp_assets.domain.access import Grant, Limits, Permission
from psa_erp_assets.services import accounts
from psa_erp_assets.services.accounts import THIS_MACHINE, TokenLine, spelled
from psa_erp_assets.services.plain import to_plain
from psa_erp_assets.services.runtime import Runtime, open_prepared
from psa_erp_assets.settings import load_settings

users = typer.Typer(help="Who may sign in to the console, and with which roles.", no_args_is_help=True)
tokens = typer.Typer(help="Keys with which programs call the API.", no_args_is_help=True)

Login = Annotated[str, typer.Argument(help="The account's sign-in name.")]
RoleText = Annotated[str, typer.Argument(help="A role, for all legal entities or one: operator, or operator:UK.")]


@users.command("add")
def add_user(
    login: Login,
    name: Annotated[str, typer.Option("--name", help="The person's name; else the sign-in name.")] = "",
    role: Annotated[
        list[str] | None, typer.Option("--role", help="A role such as operator or operator:UK; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Add an account, and print the one-time link with which its owner sets a password."""
    with _store() as runtime:
        grants = [_grant(runtime, text) for text in role or ["viewer"]]
        secret = accounts.add_account(
            runtime.engine,
            runtime.settings.tenant,
            login,
            name or login,
            grants,
            actor=THIS_MACHINE,
            now=runtime.clock(),
            lasts=_link_lasts(runtime),
        )
        body = {"login": accounts.checked_login(login), "roles": [spelled(g) for g in grants]}
        _print_link(runtime, secret, body, as_json)


@users.command("list")
def list_users(as_json: Json = False) -> None:
    """All accounts with their roles."""
    with _store() as runtime, runtime.engine.connect() as connection:
        lines = accounts.list_accounts(connection, runtime.settings.tenant, runtime.clock())
    rows = [
        (
            line.login,
            line.name,
            ", ".join(spelled(g) for g in line.grants) or "none",
            "disabled" if line.disabled else line.how,
            line.last_signed_in_at,
        )
        for line in lines
    ]
    emit(
        as_json,
        lambda: [to_plain(line) | {"grants": [spelled(g) for g in line.grants]} for line in lines],
        lambda: print_table("Accounts", ("sign-in name", "name", "roles", "by", "last"), rows, empty="none"),
    )


@users.command("grant")
def grant_user(login: Login, role: RoleText, as_json: Json = False) -> None:
    """Give an account a role."""
    with _store() as runtime:
        grant, tenant = _grant(runtime, role), runtime.settings.tenant
        accounts.grant_role(runtime.engine, tenant, login, grant, actor=THIS_MACHINE, now=runtime.clock())
    _said(as_json, f"{login} is {spelled(grant)}.", login=login, granted=spelled(grant))


@users.command("revoke")
def revoke_user(login: Login, role: RoleText, as_json: Json = False) -> None:
    """Take a role that was given here."""
    with _store() as runtime:
        grant, tenant = _grant(runtime, role), runtime.settings.tenant
        accounts.revoke_role(runtime.engine, tenant, login, grant, actor=THIS_MACHINE, now=runtime.clock())
    _said(as_json, f"{login} is {spelled(grant)} no more.", login=login, revoked=spelled(grant))


@users.command("disable")
def disable_user(login: Login, as_json: Json = False) -> None:
    """Let nobody sign in to an account any more, and end its browsers and tokens."""
    with _store() as runtime:
        tenant = runtime.settings.tenant
        accounts.disable_account(runtime.engine, tenant, login, actor=THIS_MACHINE, now=runtime.clock())
    _said(as_json, f"{login} is disabled.", login=login, disabled=True)


@users.command("enable")
def enable_user(login: Login, as_json: Json = False) -> None:
    """Let somebody sign in again whose account was disabled."""
    with _store() as runtime:
        tenant = runtime.settings.tenant
        accounts.enable_account(runtime.engine, tenant, login, actor=THIS_MACHINE, now=runtime.clock())
    _said(as_json, f"{login} can sign in again.", login=login, disabled=False)


@users.command("reset-link")
def reset_link(login: Login, as_json: Json = False) -> None:
    """Print a one-time link with which an account's owner sets a new password. Links of before end."""
    with _store() as runtime:
        secret = accounts.reset_link(
            runtime.engine,
            runtime.settings.tenant,
            login,
            actor=THIS_MACHINE,
            now=runtime.clock(),
            lasts=_link_lasts(runtime),
        )
        _print_link(runtime, secret, {"login": login}, as_json)


@tokens.command("create")
def create_token(
    login: Annotated[str, typer.Argument(help="Whose token: it may do no more than they.")],
    *,
    name: Annotated[str, typer.Option("--name", help="What the token is for.")],
    permission: Annotated[list[Permission], typer.Option("--may", help="A permission; may be repeated.")],
    entity: Annotated[
        list[str] | None, typer.Option("--entity", help="Only for this legal entity; may be repeated.")
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="Days until it ends.")] = 90,
    as_json: Json = False,
) -> None:
    """Make a token, and print it: this is the only time that it is seen."""
    with _store() as runtime:
        for code in entity or ():
            check_entity(runtime.settings, code)
        token = accounts.create_token(
            runtime.engine,
            runtime.settings.tenant,
            login,
            name,
            Limits(permissions=frozenset(permission), entities=frozenset(entity) if entity else None),
            lasts=dt.timedelta(days=days),
            actor=THIS_MACHINE,
            now=runtime.clock(),
        )
    emit(as_json, lambda: {"login": login, "token": token}, lambda: stdout.print(token, soft_wrap=True))


@tokens.command("list")
def list_tokens(
    login: Annotated[str | None, typer.Argument(help="Only those of this account.")] = None, as_json: Json = False
) -> None:
    """All tokens, the newest first, without their secrets."""
    with _store() as runtime, runtime.engine.connect() as connection:
        lines = accounts.list_tokens(connection, runtime.settings.tenant, login, runtime.clock())
    columns = ("prefix", "account", "for", "may", "entities", "state", "ends", "last used")
    emit(
        as_json,
        lambda: [to_plain(line) for line in lines],
        lambda: print_table("Tokens", columns, [_token_row(line) for line in lines], empty="none"),
    )


@tokens.command("revoke")
def revoke_token(
    prefix: Annotated[str, typer.Argument(help="The token's prefix, as `psa-erp tokens list` prints it.")],
    as_json: Json = False,
) -> None:
    """End a token."""
    with _store() as runtime:
        tenant = runtime.settings.tenant
        accounts.revoke_token(runtime.engine, tenant, prefix, actor=THIS_MACHINE, now=runtime.clock())
    _said(as_json, f"The token {prefix} is revoked.", prefix=prefix, revoked=True)


@contextmanager
def _store() -> Iterator[Runtime]:
    with explained(), open_prepared(load_settings()) as runtime:
        yield runtime


def _grant(runtime: Runtime, text: str) -> Grant:
    return accounts.parse_grant(text, runtime.settings.entity_codes)


def _link_lasts(runtime: Runtime) -> dt.timedelta:
    return dt.timedelta(hours=runtime.settings.access.link_hours)


def _print_link(runtime: Runtime, secret: str, body: dict[str, Any], as_json: bool) -> None:
    if not runtime.settings.access.passwords:
        fail(
            "accounts with a password are turned off in access.yaml",
            "People of the OpenID provider need no link; or set `passwords: true`.",
        )
    link = f"{runtime.settings.console_url.rstrip('/')}/link/{secret}"
    hours = runtime.settings.access.link_hours
    emit(
        as_json,
        lambda: body | {"link": link, "hours": hours},
        lambda: stdout.print(f"{link}\nIt works once, within {hours} hours.", highlight=False, soft_wrap=True),
    )


def _said(as_json: bool, text: str, **body: Any) -> None:
    emit(as_json, lambda: body, lambda: stdout.print(text, highlight=False))


def _token_row(line: TokenLine) -> Sequence[Any]:
    return (
        line.prefix,
        line.login,
        line.name,
        ", ".join(line.permissions),
        "all" if line.legal_entities is None else ", ".join(line.legal_entities),
        line.state,
        line.expires_at,
        line.last_used_at,
    )
