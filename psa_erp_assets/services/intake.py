"""Deliveries that arrive together are kept together: one commit for all that wait, and each is answered after it.

While one batch is being committed the next one gathers, so that a flood of webhooks costs a few large transactions
and a single webhook waits for nobody. What belongs here: the gathering, and what became of each. What does not: HTTP,
and the statement itself (`deliveries.KEEP`).
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from psa_erp_assets.adapters.store import deliveries
from psa_erp_assets.adapters.store.deliveries import Arrival
from psa_erp_assets.adapters.store.loop_connection import LoopConnection
from psa_erp_assets.services.receiving import Outcome, StoreUnavailableError, UnusableBodyError

MOST_AT_ONCE = 500
"""How many deliveries one transaction keeps: enough that its fixed cost is nothing to each, few enough to be quick."""

_Waiting = tuple[Arrival, Callable[[Outcome], None]]

logger = logging.getLogger(__name__)


class Intake:
    """The deliveries of one tenant that wait to be kept. All of it is used from one event loop.

    They are written over a connection of its own, and no thread is needed but to connect, so that pages that are slow
    to make, or that have taken all connections, hold up no webhook.
    """

    def __init__(self, engine: Engine, tenant: str) -> None:
        # Each batch is one statement, and with it one transaction.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._tenant = tenant
        self._connection: LoopConnection | None = None
        self._waiting: list[_Waiting] = []
        self._keeping: asyncio.Task[None] | None = None

    def keep(self, arrival: Arrival, answer: Callable[[Outcome], None]) -> None:
        """Have the delivery kept, and `answer` called with what became of it, once that is committed."""
        self._waiting.append((arrival, answer))
        if self._keeping is None:
            self._keep_next()

    async def close(self) -> None:
        """Give the connection up, once what is being kept is kept."""
        while self._keeping is not None:
            await asyncio.wait([self._keeping])
        self._throw_away()

    def _keep_next(self) -> None:
        batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
        self._keeping = asyncio.get_running_loop().create_task(self._keep(batch)) if batch else None

    async def _keep(self, batch: Sequence[_Waiting]) -> None:
        arrivals = [arrival for arrival, _ in batch]
        try:
            outcomes = await self._kept(arrivals)
        except Exception as error:
            # An error of ours: the senders come again, and those who wait behind them are served.
            logger.exception("deliveries were not kept")
            outcomes = [StoreUnavailableError(error)] * len(arrivals)
        # The next batch starts before this one is answered: its commit and the answers then take the same time.
        self._keep_next()
        for (_, answer), what in zip(batch, outcomes, strict=True):
            answer(what)

    async def _kept(self, arrivals: Sequence[Arrival]) -> Sequence[Outcome]:
        """Keep deliveries that came together; when this returns, they are committed.

        What was sent in several copies is one row, on which they are counted. One that PostgreSQL cannot hold, such as
        a number beyond its range, is refused alone: it is the sender's doing, and the same at every retry.
        """
        try:
            copies = await self._written(arrivals)
        except psycopg.DataError as error:
            if len(arrivals) > 1:
                middle = len(arrivals) // 2
                return [*await self._kept(arrivals[:middle]), *await self._kept(arrivals[middle:])]
            refused = UnusableBodyError("the body holds a value that cannot be stored")
            refused.__cause__ = error
            return [refused]
        except (psycopg.Error, DBAPIError, PoolTimeoutError) as error:
            return [StoreUnavailableError(error)] * len(arrivals)
        return [copies[arrival.identity] for arrival in arrivals]

    async def _written(self, arrivals: Sequence[Arrival]) -> dict[tuple[str, str], int]:
        """The copies of each by its identity. A connection that was lost while nothing came is made again at once."""
        values = [value.encode() for value in deliveries.parameters(self._tenant, arrivals)]
        known = self._connection is not None
        while True:
            try:
                if self._connection is None:
                    self._connection = await asyncio.to_thread(self._connected)
                rows = await self._connection.run(values)
            except psycopg.DataError:
                raise
            except (psycopg.Error, DBAPIError, PoolTimeoutError):
                self._throw_away()
                if not known:
                    raise
                # Written twice is counted twice, which changes nothing but the count of copies.
                known = False
            else:
                return {(row[0].decode(), row[1].decode()): int(row[2]) for row in rows}

    def _connected(self) -> LoopConnection:
        """In a thread, as it waits for PostgreSQL."""
        connection = self._engine.connect()
        try:
            return LoopConnection.open(connection, deliveries.KEEP)
        except BaseException:
            connection.invalidate()
            connection.close()
            raise

    def _throw_away(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
