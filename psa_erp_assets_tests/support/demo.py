"""One run of the demo for all tests that look at what it leaves: by the installed command, from nothing."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from psa_erp_assets.sandbox.world import TEMPLATES
from psa_erp_assets.settings import REPOSITORY


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The demo's home, which `summary` fills."""
    folder = tmp_path_factory.mktemp("demo")
    yield folder / "home"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def environ(home: Path) -> dict[str, str]:
    """What the demo's commands run with: a home and settings of their own, and free ports."""
    config = home.parent / "config"
    shutil.copytree(REPOSITORY / "data" / "config", config)
    psa, erp, console, dagster = _free_ports(4)
    connections = config / "connections.yaml"
    text = connections.read_text().replace(":8091", f":{psa}").replace(":8070", f":{erp}")
    connections.write_text(text)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PSA_ERP_", "DAGSTER_"))}
    return clean | {
        "PSA_ERP_HOME": str(home),
        "PSA_ERP_CONFIG": str(config),
        # A Tryton that another test has built is not built again.
        TEMPLATES: os.environ.get(TEMPLATES) or str(REPOSITORY / "data" / "tryton" / "templates"),
        "PSA_ERP_CONSOLE_URL": f"http://127.0.0.1:{console}",
        "PSA_ERP_DAGSTER_URL": f"http://127.0.0.1:{dagster}",
    }


@pytest.fixture(scope="session")
def summary(home: Path, environ: dict[str, str]) -> dict[str, object]:
    """The demo has run; what it says at its end."""
    done = psa_erp(environ, "demo", "--json")
    assert done.returncode == 0, done.stderr[-4000:]
    written: dict[str, object] = json.loads((home / "demo" / "summary.json").read_text())
    assert json.loads(done.stdout) == written
    return written


def psa_erp(environ: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command."""
    command = [str(Path(sys.executable).with_name("psa-erp")), *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=800)


def _free_ports(count: int) -> list[int]:
    """Free at this moment; held together, so that they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports
