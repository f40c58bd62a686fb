"""What every use case of a process works with, built once from the settings: stores, connectors, clock.

Connections are made on first use, so that a command that needs only PostgreSQL works while the ERP is down.
"""

import datetime as dt
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from psa_erp_assets.adapters import logs, postgres
from psa_erp_assets.adapters.connectors.bamboohr.client import BambooHrClient, bamboohr_auth
from psa_erp_assets.adapters.connectors.clockify.client import ClockifyClient, clockify_auth
from psa_erp_assets.adapters.connectors.hubspot.client import HubSpotClient, hubspot_auth
from psa_erp_assets.adapters.connectors.kantata.client import KantataClient, kantata_auth
from psa_erp_assets.adapters.connectors.tryton.erp import TrytonErp
from psa_erp_assets.adapters.connectors.tryton.master import MasterData
from psa_erp_assets.adapters.connectors.tryton.read_back import ReadBack
from psa_erp_assets.adapters.connectors.tryton.rpc import TrytonRpc
from psa_erp_assets.adapters.http import Auth, JsonApi
from psa_erp_assets.adapters.store.engine import make_engine
from psa_erp_assets.adapters.store.migrate import migrate
from psa_erp_assets.adapters.store.postings import PgPostingStore
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.services import connections, settings_versions
from psa_erp_assets.services.master_data import Sources
from psa_erp_assets.services.posting_engine import EnginePolicy, PostingEngine
from psa_erp_assets.services.scope import Scope
from psa_erp_assets.settings import Settings

if TYPE_CHECKING:
    from psa_erp_assets.adapters.lake import Lake

OPERATIONAL_DATABASE, DAGSTER_DATABASE, LAKE_DATABASE = "psa_erp", "psa_erp_dagster", "psa_erp_lake"


def now() -> dt.datetime:
    """The time, aware."""
    return dt.datetime.now(dt.UTC)


@contextmanager
def running_server(settings: Settings) -> Iterator[postgres.ServerInfo]:
    """The PostgreSQL server that the settings name, or the embedded one, which runs while any process is inside."""
    if settings.database_url is not None:
        yield postgres.ServerInfo.from_url(settings.database_url.get_secret_value())
        return
    with postgres.running(settings.home / "postgres") as server:
        yield server


def prepare(server: postgres.ServerInfo) -> None:
    """Make every database and bring the operational store's tables up to date. Safe to repeat."""
    for name in (OPERATIONAL_DATABASE, DAGSTER_DATABASE, LAKE_DATABASE):
        postgres.ensure_database(server, name)
    engine = make_engine(server.sqlalchemy_url(OPERATIONAL_DATABASE))
    try:
        migrate(engine)
    finally:
        engine.dispose()


class Runtime:
    """Stores, connectors and clock of one process."""

    def __init__(self, settings: Settings, stack: ExitStack, clock: Callable[[], dt.datetime] = now) -> None:
        self.settings, self.scope, self.clock = settings, Scope.of(settings), clock
        self._stack = stack
        logs.hide(secret.get_secret_value() for secret in settings.secrets.values())
        self.apis: dict[str, JsonApi] = {}
        self._noted = False
        self.worker = f"{socket.gethostname()}:{uuid.uuid4().hex[:8]}"

    def note_settings(self) -> None:
        """Keep the settings, and an audit entry, if they are others than those that were last worked with."""
        if not self._noted:
            settings_versions.note_settings(self.engine, self.settings, now=self.clock())
            self._noted = True

    @cached_property
    def server(self) -> postgres.ServerInfo:
        """Where PostgreSQL is."""
        return self._stack.enter_context(running_server(self.settings))

    @cached_property
    def engine(self) -> Engine:
        """The operational store."""
        engine = make_engine(self.server.sqlalchemy_url(OPERATIONAL_DATABASE))
        self._stack.callback(engine.dispose)
        return engine

    @cached_property
    def psa(self) -> ClockifyClient:
        """The PSA."""
        connection = self.settings.connections.psa
        auth = clockify_auth(lambda: self.settings.secret(connection.api_key))
        return ClockifyClient(
            self._api(connection.kind, connection.base_url, auth, connection.requests_per_second), connection.workspace
        )

    @cached_property
    def milestones_psa(self) -> KantataClient | None:
        """The PSA that has the milestones of fixed fees, if the settings name one."""
        connection = self.settings.connections.milestones
        if connection is None:
            return None
        auth = kantata_auth(lambda: self.settings.secret(connection.token))
        return KantataClient(self._api(connection.kind, connection.base_url, auth, connection.requests_per_second))

    @cached_property
    def sources(self) -> Sources:
        """The systems of record of master data."""
        crm, hr = self.settings.connections.crm, self.settings.connections.hr
        return Sources(
            psa=self.psa,
            crm=HubSpotClient(
                self._api(
                    crm.kind,
                    crm.base_url,
                    hubspot_auth(lambda: self.settings.secret(crm.token)),
                    crm.requests_per_second,
                )
            ),
            hr=BambooHrClient(
                self._api(
                    hr.kind,
                    hr.base_url,
                    bamboohr_auth(lambda: self.settings.secret(hr.api_key)),
                    hr.requests_per_second,
                )
            ),
            erp=MasterData(self._rpc),
        )

    @cached_property
    def erp(self) -> TrytonErp:
        """The ERP, as the posting engine sees it."""
        return TrytonErp(self._rpc, timeout=self.settings.policies.posting.request_timeout_seconds)

    @cached_property
    def erp_reader(self) -> ReadBack:
        """The ERP, as reconciliation sees it: everything that it holds, whoever made it."""
        return ReadBack(self._rpc)

    @cached_property
    def postings(self) -> PgPostingStore:
        """The ledger of postings."""
        return PgPostingStore(self.engine, self.settings.tenant)

    @cached_property
    def posting_engine(self) -> PostingEngine:
        """What sends postings and finds out what became of them."""
        policy = self.settings.policies.posting
        return PostingEngine(
            self.postings,
            self.erp,
            self.clock,
            worker=self.worker,
            policy=EnginePolicy(
                batch_sizes=dict.fromkeys(EffectType, policy.batch_size),
                request_timeout=dt.timedelta(seconds=policy.request_timeout_seconds),
                lease=dt.timedelta(seconds=policy.lease_seconds),
                horizon=dt.timedelta(seconds=policy.longest_execution_seconds),
            ),
            on_report=lambda report: connections.note_erp(
                self.engine, self.settings.tenant, report, by=self.worker, now=self.clock()
            ),
        )

    @cached_property
    def lake(self) -> "Lake":
        """The lake."""
        # It brings DuckDB, pandas and pyarrow, which posting an approval within seconds has no time for.
        from psa_erp_assets.adapters.lake import Lake  # noqa: PLC0415

        return self._stack.enter_context(Lake(self.server.conninfo(LAKE_DATABASE), self.settings.home / "lake"))

    @cached_property
    def _rpc(self) -> TrytonRpc:
        erp = self.settings.connections.erp
        timeout = self.settings.policies.posting.request_timeout_seconds
        rpc = TrytonRpc(erp.base_url, erp.database, erp.user, self.settings.secret(erp.password), timeout=timeout)
        return self._stack.enter_context(rpc)

    def _api(self, name: str, base_url: str, auth: Auth, rate: int) -> JsonApi:
        api = self.apis[name] = self._stack.enter_context(JsonApi(base_url, auth=auth, rate=rate, burst=rate))
        return api


@contextmanager
def open_runtime(settings: Settings, clock: Callable[[], dt.datetime] = now) -> Iterator[Runtime]:
    """A runtime that gives its connections back at the end."""
    with ExitStack() as stack:
        yield Runtime(settings, stack, clock)


@contextmanager
def open_prepared(settings: Settings) -> Iterator[Runtime]:
    """A runtime whose stores are made and up to date."""
    with open_runtime(settings) as runtime:
        prepare(runtime.server)
        runtime.note_settings()
        yield runtime
