"""One prepared statement over a connection of its own, run from an event loop: no thread waits for the answer.

Waking a thread, and having it and the loop take turns at Python, costs a webhook more than its row does. What belongs
here: sending the statement and reading what PostgreSQL answers. What does not: what the statement means.
"""

import asyncio
from collections.abc import Sequence

import psycopg
from psycopg import pq
from sqlalchemy import Connection

Rows = list[tuple[bytes, ...]]
"""The rows of an answer, each value in PostgreSQL's text form."""

_NAME = b"psa_erp_prepared"


class LoopConnection:
    """A connection on which one statement runs at a time. `open` makes it, in a thread; the rest is the loop's."""

    def __init__(self, connection: Connection, driver: "psycopg.Connection[object]") -> None:
        self._connection, self._pgconn = connection, driver.pgconn
        self._socket = driver.fileno()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._results: list[pq.abc.PGresult] = []
        self._answer: asyncio.Future[Rows] | None = None
        self._writing = False

    @classmethod
    def open(cls, connection: Connection, statement: str) -> "LoopConnection":
        """Prepare the statement, whose parameters are $1 and so on, on a connection that is given away with it.

        Waits for PostgreSQL. Raises psycopg's errors.
        """
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        made = driver.pgconn.prepare(_NAME, statement.encode())
        if made.status != pq.ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(made)
        return cls(connection, driver)

    async def run(self, values: Sequence[bytes]) -> Rows:
        """The rows with which the statement answers to parameters in text form.

        Raises psycopg's errors; after any but DataError, the connection is of no use any more.
        """
        self._pgconn.send_query_prepared(_NAME, values)
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._socket, self._read)
        answer: asyncio.Future[Rows] = self._loop.create_future()
        self._answer = answer
        self._write()
        return await answer

    def close(self) -> None:
        """Part from PostgreSQL. Nobody else gets the connection: what state it is in is not known."""
        self._forget()
        self._connection.invalidate()
        self._connection.close()

    def _write(self) -> None:
        """Send what the socket takes, and the rest when it takes more."""
        assert self._loop is not None
        try:
            rest = self._pgconn.flush()
        except psycopg.Error as error:
            self._end(error)
            return
        if rest and not self._writing:
            self._loop.add_writer(self._socket, self._write)
        elif self._writing and not rest:
            self._loop.remove_writer(self._socket)
        self._writing = bool(rest)

    def _read(self) -> None:
        """Take what has come; once that is all of the answer, give it."""
        try:
            self._pgconn.consume_input()
            while self._answer is not None and not self._pgconn.is_busy():
                result = self._pgconn.get_result()
                if result is None:
                    self._finish()
                else:
                    self._results.append(result)
        except psycopg.Error as error:
            self._end(error)

    def _finish(self) -> None:
        answer, self._answer = self._answer, None
        results, self._results = self._results, []
        if answer is None or answer.done():
            return
        for result in results:
            if result.status != pq.ExecStatus.TUPLES_OK:
                answer.set_exception(psycopg.errors.error_from_result(result))
                return
        answer.set_result([row for result in results for row in _rows(result)])

    def _end(self, error: psycopg.Error) -> None:
        self._forget()
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(error)

    def _forget(self) -> None:
        # Once only, and at once: PostgreSQL's library closes the socket, and a sender's may get its number.
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.remove_reader(self._socket)
            loop.remove_writer(self._socket)


def _rows(result: pq.abc.PGresult) -> Rows:
    columns = range(result.nfields)
    return [tuple(result.get_value(row, column) or b"" for column in columns) for row in range(result.ntuples)]
