"""Runs the sandboxes on 127.0.0.1: in a thread for tests and the demo, or as a process.

    python -m psa_erp_assets.sandbox.serve --port 8090 --home data/demo/sandbox

As a process it keeps its state in the home folder, takes the keys of PSA_SANDBOX_CLOCKIFY_KEY,
PSA_SANDBOX_HUBSPOT_KEY, PSA_SANDBOX_BAMBOOHR_KEY, PSA_SANDBOX_KANTATA_KEY and PSA_SANDBOX_CONTROL_KEY, for the rest
those in the home's `secrets.json`, and writes fresh ones there for what is still missing. `sandbox.json` says where it
listens.
"""

import argparse
import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import uvicorn

from psa_erp_assets.sandbox.app import SandboxKeys, create_app
from psa_erp_assets.sandbox.company import DEFAULT_SEED, build_company
from psa_erp_assets.sandbox.company_model import DemoCompany
from psa_erp_assets.sandbox.control import SandboxControl

HOST = "127.0.0.1"
SECRETS, ADDRESS = "secrets.json", "sandbox.json"
_START_SECONDS, _STOP_SECONDS = 20.0, 10.0


class SandboxServer:
    """The sandboxes of a company, served by a background thread between `start` and `stop`."""

    def __init__(
        self,
        company: DemoCompany,
        state_dir: Path | None = None,
        *,
        keys: Mapping[str, str] | None = None,
        port: int = 0,
    ) -> None:
        """Binds the port at once; 0 takes a free one. `keys` by vendor; what is missing is made up."""
        self.company = company
        self.keys = SandboxKeys.random(keys)
        self._socket = socket.create_server((HOST, port))
        self.base_url = f"http://{HOST}:{self._socket.getsockname()[1]}"
        self.control = SandboxControl(self.base_url, self.keys.control)
        try:
            self._server = uvicorn.Server(_config(create_app(company, state_dir, self.keys)))
        except BaseException:
            self.control.close()
            self._socket.close()
            raise
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="sandbox", daemon=True)

    @property
    def clockify_url(self) -> str:
        """The PSA's base URL; the vendor's paths follow it."""
        return f"{self.base_url}/clockify/api"

    @property
    def hubspot_url(self) -> str:
        """The CRM's base URL."""
        return f"{self.base_url}/hubspot"

    @property
    def bamboohr_url(self) -> str:
        """HR's base URL."""
        return f"{self.base_url}/bamboohr"

    @property
    def kantata_url(self) -> str:
        """The second PSA's base URL."""
        return f"{self.base_url}/kantata/api/v1"

    def start(self) -> None:
        """Returns when requests are answered. Raises RuntimeError if that does not happen."""
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError("the sandbox did not start")
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop answering and give the port back. Raises RuntimeError if the server does not end."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)
        self.control.close()
        self._socket.close()
        if self._thread.is_alive():
            raise RuntimeError(f"the sandbox at {self.base_url} did not stop")


@contextlib.contextmanager
def running_sandbox(
    company: DemoCompany, state_dir: Path | None = None, *, keys: Mapping[str, str] | None = None, port: int = 0
) -> Iterator[SandboxServer]:
    """The sandboxes, running for the time of the block."""
    sandbox = SandboxServer(company, state_dir, keys=keys, port=port)
    sandbox.start()
    try:
        yield sandbox
    finally:
        sandbox.stop()


def load_keys(home: Path, environment: Mapping[str, str]) -> SandboxKeys:
    """Keys of the environment, then of the home's secrets file; what was missing in both is added to the file."""
    path = home / SECRETS
    stored: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    given = {f.name: environment.get(f"PSA_SANDBOX_{f.name.upper()}_KEY", "") for f in fields(SandboxKeys)}
    keys = SandboxKeys.random(stored | {name: key for name, key in given.items() if key})
    wanted = stored | {name: key for name, key in keys.as_mapping().items() if not given[name]}
    if wanted != stored:
        _write(path, wanted)
    return keys


def _write(path: Path, body: Mapping[str, Any]) -> None:
    """Readable by its owner only, and never half written."""
    fresh = path.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(body, file, indent=2)
    fresh.replace(path)


def _config(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=HOST,
        log_config=None,
        access_log=False,
        lifespan="on",
        proxy_headers=False,
        timeout_graceful_shutdown=2,
        ws="none",
    )


def main(arguments: list[str] | None = None) -> None:
    """The process. Prints its base URL, and runs until it is interrupted or terminated."""
    parser = argparse.ArgumentParser(prog="python -m psa_erp_assets.sandbox.serve", description="Vendor sandboxes.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--home", type=Path, required=True, help="folder for state, secrets and address")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="of the demo company (default %(default)s)")
    options = parser.parse_args(arguments)
    options.home.mkdir(parents=True, exist_ok=True)
    keys = load_keys(options.home, os.environ)
    app = create_app(build_company(options.seed), options.home, keys)
    with socket.create_server((HOST, options.port)) as listener:
        base_url = f"http://{HOST}:{listener.getsockname()[1]}"
        _write(options.home / ADDRESS, {"base_url": base_url, "pid": os.getpid()})
        sys.stdout.write(f"{base_url}\n")
        sys.stdout.flush()
        uvicorn.Server(_config(app)).run([listener])


if __name__ == "__main__":
    main()
