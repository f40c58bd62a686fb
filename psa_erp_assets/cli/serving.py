"""The console as a server: the web app and the worker that handles what webhooks announce."""

import datetime as dt
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import httpx
import uvicorn
from fastapi import FastAPI

from psa_erp_assets.adapters.openid import OpenIdProvider
from psa_erp_assets.adapters.reporting_file import REPORTING_FILE
from psa_erp_assets.adapters.store import access
from psa_erp_assets.cli.output import stderr, stdout
from psa_erp_assets.console import models
from psa_erp_assets.console.app import create_app
from psa_erp_assets.console.gate import AccessSetUp
from psa_erp_assets.console.serving import configuration
from psa_erp_assets.services import audit_log, audit_sealer, hint_worker, notifier, trace_exporter
from psa_erp_assets.services.accounts import first_link
from psa_erp_assets.services.receiving import sources_of
from psa_erp_assets.services.report_history import LakeHistory
from psa_erp_assets.services.runtime import Runtime, open_runtime
from psa_erp_assets.settings import ConfigError, OperatorError, Settings

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_START_SECONDS = 20.0


def console_app(runtime: Runtime) -> FastAPI:
    """The console of a runtime. Raises ConfigError where a secret of webhooks is not set."""
    settings = runtime.settings
    return create_app(
        runtime.engine,
        scope=runtime.scope,
        sources=sources_of(settings),
        dagster_url=settings.dagster_url,
        allowed_hosts=sorted({"127.0.0.1", "localhost", httpx.URL(settings.console_url).host}),
        access=access_of(settings),
        reporting=settings.home / REPORTING_FILE,
        history=LakeHistory(runtime),
        prove=lambda connection, wanted: audit_log.prove(connection, settings, wanted),
        background=[
            *(partial(worker.work, runtime) for worker in (hint_worker, audit_sealer, notifier, trace_exporter)),
            models.read_ahead,
        ],
    )


def access_of(settings: Settings) -> AccessSetUp:
    """How people sign in to the console of these settings. Raises ConfigError where the client's secret is missing."""
    openid = settings.access.openid
    return AccessSetUp(
        settings=settings.access,
        provider=None
        if openid is None
        else OpenIdProvider(
            openid.issuer,
            client_id=openid.client_id,
            client_secret=settings.secret(openid.client_secret),
            scopes=openid.scopes,
        ),
        url=settings.console_url,
        entities=settings.entity_codes,
    )


def check_host(runtime: Runtime, host: str) -> None:
    """Raise OperatorError for an address that others reach while nobody could sign in; warn without https."""
    if host in _LOOPBACK:
        return
    with runtime.engine.connect() as connection:
        known = access.any_account(connection, runtime.settings.tenant)
    if not known and runtime.settings.access.openid is None:
        raise OperatorError(
            f"the console does not listen at {host} while nobody has an account: whoever came first would be its"
            " administrator. Start it without --host and open the link that it prints, or `psa-erp users add` somebody,"
            " or configure openid in access.yaml"
        )
    if not runtime.settings.console_url.startswith("https://"):
        stderr.print(
            f"Others can reach the console at {host}, and PSA_ERP_CONSOLE_URL does not begin with https://: passwords"
            " are readable on the way. docs/access.md says how to put a proxy before it.",
            highlight=False,
        )


def say_first_link(runtime: Runtime) -> None:
    """While nobody has an account, print the link with which the first administrator makes theirs."""
    hours = runtime.settings.access.link_hours
    secret = first_link(runtime.engine, runtime.settings.tenant, now=runtime.clock(), lasts=dt.timedelta(hours=hours))
    if secret is not None:
        stdout.print(
            f"Nobody has an account yet. Make yours (this link works once, within {hours} hours):\n"
            f"  {runtime.settings.console_url.rstrip('/')}/link/{secret}",
            highlight=False,
            soft_wrap=True,
        )


def port_of(url: str) -> int:
    """The port that a URL of this machine names. Raises ConfigError where it names none."""
    port = httpx.URL(url).port
    if port is None:
        raise ConfigError([f"{url} needs a port, such as http://127.0.0.1:8080"])
    return port


@contextmanager
def running_console(settings: Settings) -> Iterator[str]:
    """The console in a thread, for the time of the block; gives its address. Raises OperatorError."""
    with open_runtime(settings) as runtime:
        port = port_of(settings.console_url)
        config = configuration(console_app(runtime), host="127.0.0.1", port=port, patience_seconds=2)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, name="console", daemon=True)
        thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise OperatorError(f"the console did not start at {settings.console_url}; is its port in use?")
            time.sleep(0.02)
        try:
            yield settings.console_url
        finally:
            server.should_exit = True
            thread.join(10)
