"""Dagster's own processes: its web server and its daemon."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from psa_erp_assets.cli.serving import port_of
from psa_erp_assets.settings import REPOSITORY, OperatorError, Settings

_START_SECONDS, _STOP_SECONDS = 90.0, 15.0


class ProcessError(OperatorError):
    """A process did not start, or ended by itself."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A process and where its output goes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raise ProcessError, with the last lines of its log, if it has ended."""
        if self.process.poll() is not None:
            tail = "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:])
            raise ProcessError(f"{self.name} has ended; the end of {self.log}:\n{tail}")


@contextmanager
def running_dagster(settings: Settings, home: Path, environ: Mapping[str, str]) -> Iterator[list[Watched]]:
    """Dagster's web server and daemon, until the end of the block. Raises ProcessError."""
    variables = {**os.environ, **environ}
    port = str(port_of(settings.dagster_url))
    workspace = str(REPOSITORY / "workspace.yaml")
    commands = {
        "dagster-webserver": ["dagster_webserver", "-h", "127.0.0.1", "-p", port, "-w", workspace],
        "dagster-daemon": ["dagster._daemon", "run", "-w", workspace],
    }
    with ExitStack() as stack:
        watched = [stack.enter_context(_running(n, c, home, variables)) for n, c in commands.items()]
        _wait(settings.dagster_url, watched)
        yield watched


@contextmanager
def _running(name: str, command: list[str], home: Path, environ: Mapping[str, str]) -> Iterator[Watched]:
    log = home / f"{name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter with fixed arguments
            [sys.executable, "-m", *command],
            cwd=REPOSITORY,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Watched(name, process, log)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        # Its code servers are in its process group, and can outlive it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _wait(url: str, watched: list[Watched]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        for each in watched:
            each.check()
        try:
            if httpx.get(f"{url}/server_info", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.3)
    raise ProcessError(f"Dagster did not answer at {url} within {_START_SECONDS:.0f} seconds")
