"""Deliveries that arrive together are kept together: one commit for all that wait, and each is answered after it.

While one batch is being committed the next one gathers, so that a flood of webhooks costs a few large transactions
and a single webhook waits for nobody. What belongs here: the gathering. What does not: HTTP, and the transaction
itself (`receiving.keep`).
"""

import asyncio
import contextlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from psa_erp_assets.adapters.store.deliveries import Arrival
from psa_erp_assets.services.receiving import Outcome, StoreUnavailableError, keep

MOST_AT_ONCE = 500
"""How many deliveries one transaction keeps: enough that its fixed cost is nothing to each, few enough to be quick."""

_Waiting = tuple[Arrival, asyncio.Future[Outcome]]


class Intake:
    """The deliveries of one tenant that wait to be kept. `keep` is used from one event loop.

    They are written by a thread of its own over a connection of its own, so that pages that are slow to make, or that
    have taken all connections, hold up no webhook.
    """

    def __init__(self, engine: Engine, tenant: str) -> None:
        # Each batch is one statement, and with it one transaction.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._tenant = tenant
        self._connection: Connection | None = None
        self._waiting: list[_Waiting] = []
        self._keeping = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="intake")

    async def keep(self, arrival: Arrival) -> Outcome:
        """What became of the delivery, once that is committed."""
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Outcome] = loop.create_future()
        self._waiting.append((arrival, outcome))
        if not self._keeping:
            self._keep_next(loop)
        return await outcome

    def close(self) -> None:
        """End the thread, once what it is keeping is kept, and give the connection back."""
        self._thread.submit(self._give_back)
        self._thread.shutdown()

    def _keep_next(self, loop: asyncio.AbstractEventLoop) -> None:
        batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
        self._keeping = bool(batch)
        if batch:
            # Not the loop's own way to wait for a thread: that takes several times as long.
            kept = self._thread.submit(self._write, [arrival for arrival, _ in batch])
            kept.add_done_callback(lambda done: loop.call_soon_threadsafe(self._answer, loop, batch, done))

    def _answer(
        self, loop: asyncio.AbstractEventLoop, batch: list[_Waiting], done: "Future[Sequence[Outcome]]"
    ) -> None:
        # The next batch starts before this one is answered: its commit and the answers then take the same time.
        self._keep_next(loop)
        for (_, outcome), what in zip(batch, done.result(), strict=True):
            # A sender that has gone away waits no longer.
            if not outcome.done():
                outcome.set_result(what)

    def _write(self, arrivals: Sequence[Arrival]) -> Sequence[Outcome]:
        """In the thread. A connection that was lost while nothing came is made again at once."""
        for last in (False, True):
            try:
                if self._connection is None:
                    self._connection = self._engine.connect()
                return keep(self._connection, self._tenant, arrivals)
            except (DBAPIError, PoolTimeoutError) as error:
                known = self._connection is not None
                self._throw_away()
                # Written twice is counted twice, which changes nothing but the count of copies.
                if last or not known:
                    return [StoreUnavailableError(error)] * len(arrivals)
        raise AssertionError("the second attempt returns")

    def _throw_away(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # What state it is in is not known, so nobody else may have it.
            connection.invalidate()
            connection.close()

    def _give_back(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(DBAPIError):
                connection.close()
