"""The console as a server: the web app and the worker that handles what webhooks announce."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import httpx
import uvicorn
from fastapi import FastAPI

from psa_erp_assets.console.app import create_app
from psa_erp_assets.services import hint_worker
from psa_erp_assets.services.receiving import clockify_source
from psa_erp_assets.services.runtime import Runtime, open_runtime
from psa_erp_assets.settings import ConfigError, OperatorError, Settings

_START_SECONDS = 20.0


def console_app(runtime: Runtime) -> FastAPI:
    """The console of a runtime. Raises ConfigError where no webhook token is set."""
    settings = runtime.settings
    tokens = [t.strip() for t in settings.secret(settings.connections.psa.webhook_tokens).split(",") if t.strip()]
    return create_app(
        runtime.engine,
        scope=runtime.scope,
        sources={"clockify": clockify_source(tokens)},
        dagster_url=settings.dagster_url,
        allowed_hosts=sorted({"127.0.0.1", "localhost", httpx.URL(settings.console_url).host}),
        background=[partial(hint_worker.work, runtime)],
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
        config = uvicorn.Config(
            console_app(runtime),
            host="127.0.0.1",
            port=port_of(settings.console_url),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=2,
        )
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
