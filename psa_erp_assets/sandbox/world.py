"""The demo's world: PostgreSQL with Tryton in it, and the vendor sandboxes, at the addresses that the settings name.

Its secrets are made up at the first start and kept in the home's `secrets.env`, where the settings find them too.
"""

import base64
import os
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from psa_erp_assets.adapters import postgres
from psa_erp_assets.adapters.postgres import ServerInfo
from psa_erp_assets.domain.signatures import Scheme
from psa_erp_assets.sandbox.actors import Actors, actors_at
from psa_erp_assets.sandbox.company import build_company
from psa_erp_assets.sandbox.company_model import DemoCompany
from psa_erp_assets.sandbox.serve import SandboxServer, running_sandbox
from psa_erp_assets.sandbox.tryton.build import FINANCE_USER, SYNC_USER, Kind, create_database, ensure_template
from psa_erp_assets.sandbox.tryton.finance import Finance
from psa_erp_assets.sandbox.tryton.server import Credentials, TrytonServer
from psa_erp_assets.services.runtime import (
    DAGSTER_DATABASE,
    LAKE_DATABASE,
    OPERATIONAL_DATABASE,
    prepare,
    running_server,
)
from psa_erp_assets.settings import OperatorError, Settings, load_settings

FINANCE_PASSWORD = "PSA_ERP_DEMO_FINANCE_PASSWORD"  # noqa: S105 - the name of a secret, not one
CONTROL_KEY = "PSA_ERP_DEMO_CONTROL_KEY"

TEMPLATES = "PSA_ERP_TRYTON_CACHE"
"""Names a folder for dumps of built databases, shared between homes; without it they are kept in the home."""

# Posting a hundred invoices takes ten seconds on an idle machine; finance can wait.
_FINANCE_SECONDS = 300.0

Report = Callable[[str], None]


class PortTakenError(OperatorError):
    """An address of the settings is in use by something else."""


class ForeignHomeError(OperatorError):
    """The home holds data that the demo did not make; it is not touched."""


@dataclass(frozen=True, slots=True)
class World:
    """What runs. `settings` are as they are now that the secrets exist."""

    settings: Settings
    server: ServerInfo
    company: DemoCompany
    sandbox: SandboxServer
    tryton: TrytonServer
    people: Actors
    finance: Finance


@contextmanager
def running_world(environ: Mapping[str, str], report: Report, *, kind: Kind = Kind.COMPANION) -> Iterator[World]:
    """Start everything that is outside of the sync, made anew where it is missing; stop it at the end.

    Raises PortTakenError, PostgresError or TrytonSetupError.
    """
    settings = load_settings(environ)
    company = build_company()
    given = ensure_secrets(settings)
    settings = load_settings(environ)
    connections = settings.connections
    ports = {url: _free_port(url) for url in (connections.psa.base_url, connections.erp.base_url)}
    with ExitStack() as stack:
        report("starting PostgreSQL")
        server = stack.enter_context(running_server(settings))
        prepare(server)
        report("building Tryton, once a machine")
        folder = settings.home / "tryton"
        templates = Path(environ.get(TEMPLATES) or folder)
        for each in (Kind.STOCK, Kind.COMPANION):
            template = ensure_template(server, each, company.erp_seed(), templates)
            if each is kind:
                break
        create_database(server, template, connections.erp.database)
        report("starting Tryton")
        credentials = Credentials({SYNC_USER: given[connections.erp.password], FINANCE_USER: given[FINANCE_PASSWORD]})
        tryton = TrytonServer(
            server, connections.erp.database, folder, credentials, port=ports[connections.erp.base_url]
        )
        stack.enter_context(tryton)
        report("starting the PSA, CRM and HR sandboxes")
        keys = {
            "clockify": given[connections.psa.api_key],
            "hubspot": given[connections.crm.token],
            "bamboohr": given[connections.hr.api_key],
            "control": given[CONTROL_KEY],
        }
        if connections.milestones is not None:
            keys["kantata"] = given[connections.milestones.token]
        state = settings.home / "sandbox"
        port = ports[connections.psa.base_url]
        sandbox = stack.enter_context(running_sandbox(company, state, keys=keys, port=port))
        people = stack.enter_context(actors_at(sandbox))
        rpc = stack.enter_context(tryton.rpc(FINANCE_USER, timeout=_FINANCE_SECONDS))
        yield World(settings, server, company, sandbox, tryton, people, Finance(rpc))


def subscribe(world: World, environ: Mapping[str, str]) -> Settings:
    """Have the PSA and the CRM send their webhooks to the console; the settings then know what proves them."""
    name = world.settings.connections.psa.webhook_tokens
    if not world.settings.secrets.get(name):
        tokens = world.people.register_webhooks(f"{world.settings.console_url}/webhooks/clockify")
        _keep(world.settings.home, {name: ",".join(tokens.values())})
    hook = world.settings.connections.webhooks.get("hubspot")
    if hook is not None and hook.url is not None:
        world.people.subscribe_to_crm(hook.url, world.settings.secret(hook.secrets).split(",")[0])
    hook = world.settings.connections.webhooks.get("kantata")
    if hook is not None and world.settings.connections.milestones is not None:
        address = f"{world.settings.console_url}/webhooks/kantata"
        world.people.subscribe_to_fees(address, world.settings.secret(hook.secrets).split(",")[0])
    return load_settings(environ)


@contextmanager
def people_of(settings: Settings) -> Iterator[tuple[DemoCompany, Actors]]:
    """The demo company and its people, at sandboxes that run already."""
    company, connections = build_company(), settings.connections
    fees = connections.milestones
    people = Actors(
        company,
        clockify_url=connections.psa.base_url,
        clockify_key=settings.secret(connections.psa.api_key),
        hubspot_url=connections.crm.base_url,
        hubspot_key=settings.secret(connections.crm.token),
        bamboohr_url=connections.hr.base_url,
        bamboohr_key=settings.secret(connections.hr.api_key),
        kantata_url=fees.base_url if fees is not None else "",
        kantata_key=settings.secret(fees.token) if fees is not None else "",
    )
    try:
        yield company, people
    finally:
        people.close()


def reset(settings: Settings) -> None:
    """Drop what an earlier demo made in this home: databases, lake and the sandboxes' state. Tryton's template stays.

    Raises ForeignHomeError where the home was not made by the demo, or PostgreSQL is somebody else's.
    """
    used = (settings.home / "postgres").exists()
    if (
        settings.database_url is not None
        or not settings.connections.sandboxes
        or (used and not _marker(settings).exists())
    ):
        raise ForeignHomeError(
            f"the demo starts from nothing, and {settings.home} holds data that it did not make: "
            "give it a folder of its own with PSA_ERP_HOME, and no PSA_ERP_DATABASE_URL"
        )
    mark_as_demo(settings)
    if used:
        with running_server(settings) as server:
            for database in (OPERATIONAL_DATABASE, DAGSTER_DATABASE, LAKE_DATABASE, settings.connections.erp.database):
                postgres.drop_database(server, database)
    for name in ("lake", "sandbox", "dagster"):
        _remove(settings.home / name)
    (settings.home / "reporting.duckdb").unlink(missing_ok=True)
    _keep(settings.home, {settings.connections.psa.webhook_tokens: ""})


def mark_as_demo(settings: Settings) -> None:
    """Say of a home that has nothing in it yet that it is the demo's, which may empty it."""
    marker = _marker(settings)
    if not (settings.home / "postgres").exists():
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.write_text("This folder was made by the demo, which may empty it again.\n", encoding="utf-8")


def ensure_secrets(settings: Settings) -> dict[str, str]:
    """Every secret that the world needs: those that are set, and new ones, kept in the home, for the rest."""
    connections = settings.connections
    fees = connections.milestones
    wanted = (
        *([fees.token] if fees is not None else []),
        *(hook.secrets for hook in connections.webhooks.values()),
        connections.psa.api_key,
        connections.crm.token,
        connections.hr.api_key,
        connections.erp.password,
        FINANCE_PASSWORD,
        CONTROL_KEY,
    )
    known = {name: settings.secrets[name].get_secret_value() for name in wanted if name in settings.secrets}
    fresh = {name: secrets.token_urlsafe(24) for name in wanted if not known.get(name)}
    for hook in connections.webhooks.values():
        if hook.scheme is Scheme.STANDARD and hook.secrets in fresh:
            fresh[hook.secrets] = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    _keep(settings.home, fresh)
    return known | fresh


def _marker(settings: Settings) -> Path:
    return settings.home / "demo" / "made-by-demo"


def _keep(home: Path, values: Mapping[str, str]) -> None:
    """Add to the home's secrets file, readable by its owner only and never half written."""
    path = home / "secrets.env"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    kept = [line for line in lines if line.partition("=")[0] not in values]
    home.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in [*kept, *(f"{k}={v}" for k, v in values.items() if v)])
    fresh.replace(path)


def _free_port(url: str) -> int:
    """The port of a URL of this machine. Raises PortTakenError where something else answers there already."""
    port = httpx.URL(url).port or 80
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortTakenError(f"port {port} of {url} is in use: stop what uses it, or change the address") from error
    return port


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
