"""Serves one Tryton database over HTTP on this machine."""

import contextlib
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import psutil

from psa_erp_assets.adapters.connectors.tryton.rpc import TrytonRpc
from psa_erp_assets.adapters.postgres import ServerInfo
from psa_erp_assets.sandbox.tryton.build import FINANCE_USER, SYNC_USER, set_passwords
from psa_erp_assets.sandbox.tryton.environment import TrytonEnvironment, TrytonSetupError

_START_TIMEOUT = 120.0
_STOP_TIMEOUT = 15.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """The passwords of a database's users, by login name."""

    passwords: Mapping[str, str] = field(repr=False)

    @classmethod
    def random(cls) -> Self:
        """New ones for the sync's and finance's users."""
        return cls({user: secrets.token_urlsafe(24) for user in (SYNC_USER, FINANCE_USER)})


class TrytonServer:
    """gunicorn with Tryton, on 127.0.0.1. `folder` keeps its configuration, log and process id.

    `port` None takes a free one, and keeps it over restarts. The server outlives this object unless it is stopped;
    as a context manager it starts and stops.
    """

    def __init__(
        self, server: ServerInfo, database: str, folder: Path, credentials: Credentials, *, port: int | None = None
    ) -> None:
        self._server, self._folder = server, folder.resolve()
        self.database, self.credentials = database, credentials
        self._port = port or _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"TrytonServer({self.url!r}, database={self.database!r})"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The base URL, without the database's name."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def log(self) -> Path:
        """What trytond and gunicorn wrote."""
        return self._folder / "trytond.log"

    def rpc(self, user: str = SYNC_USER, *, timeout: float = 60.0) -> TrytonRpc:
        """Access for one of the users; close it when it is no longer needed."""
        return TrytonRpc(self.url, self.database, user, self.credentials.passwords[user], timeout=timeout)

    def start(self) -> None:
        """Set the passwords, start, and return when it answers. Raises TrytonSetupError with the log's last lines.

        A server that an earlier process left behind in this folder is stopped first.
        """
        self.stop()
        self._folder.mkdir(parents=True, exist_ok=True)
        environment = TrytonEnvironment.prepare(self._folder, self._server)
        set_passwords(self._server, self.database, self.credentials.passwords, environment)
        self.resume()

    def resume(self) -> None:
        """Start as `start` does, with the configuration and passwords that are there already."""
        environment = TrytonEnvironment.prepare(self._folder, self._server)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter with fixed arguments
                [
                    *(environment.python, "-m", "gunicorn", "--bind", f"127.0.0.1:{self._port}"),
                    # --preload loads Tryton's pool once for both workers. Posting a large batch takes its time.
                    *("--workers", "2", "--preload", "--timeout", "180", "--graceful-timeout", "10"),
                    *("--pid", str(self._pid_file), "trytond.application:app"),
                ],
                cwd=self._folder,
                env={**environment.variables(), "TRYTOND_DATABASE_NAMES": self.database},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait_until_healthy(self._process)

    def stop(self) -> None:
        """End it after the calls that it is answering. Nothing happens where none runs."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it in mid-call, as a crash would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start again at the same address."""
        self.stop()
        self.resume()

    @property
    def _pid_file(self) -> Path:
        return self._folder / "gunicorn.pid"

    def _wait_until_healthy(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        request = {"id": 0, "method": "common.server.version", "params": []}
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise TrytonSetupError(f"Tryton ended while it started: {self._last_words()}")
            with contextlib.suppress(httpx.TransportError):
                if httpx.post(f"{self.url}/rpc/", json=request, timeout=5.0).status_code == 200:
                    return
            time.sleep(0.1)
        self.stop()
        raise TrytonSetupError(f"Tryton did not answer within {_START_TIMEOUT:g} s: {self._last_words()}")

    def _end(self, first: signal.Signals) -> None:
        main = self._main_process()
        if main is None:
            return
        family = [main, *main.children(recursive=True)]
        with contextlib.suppress(psutil.NoSuchProcess):
            if first is signal.SIGKILL:
                # The parent first: it would replace its workers.
                for process in family:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()
            else:
                main.send_signal(first)
        _, alive = psutil.wait_procs(family, timeout=_STOP_TIMEOUT)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if self._process is not None:
            self._process.wait()
            self._process = None
        self._pid_file.unlink(missing_ok=True)

    def _main_process(self) -> psutil.Process | None:
        """The gunicorn of this folder, whoever started it; never another program that got its id."""
        if self._process is not None:
            pid = self._process.pid
        else:
            try:
                pid = int(self._pid_file.read_text())
            except (FileNotFoundError, ValueError):
                return None
        try:
            process = psutil.Process(pid)
            return process if Path(process.cwd()) == self._folder else None
        except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
            return None

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return f"{' / '.join(lines[-3:])} (all of it in {self.log})"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
