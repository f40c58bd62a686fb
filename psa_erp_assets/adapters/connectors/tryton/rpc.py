"""Tryton's JSON-RPC over HTTP: sessions, and answers classified by what is *known* to have happened.

A session that has expired is renewed and the call sent again: Tryton checks the session before it starts a
transaction (`auth_required` in trytond/wsgi.py, `fresh_session` in trytond/protocols/dispatcher.py), so a 401 says
that nothing was done.

Why a 503 is not definite, although Tryton answers lock contention with it: the dispatcher raises the same
database error when the connection breaks during COMMIT, and again when it touches the session *after* the
commit; from outside the three look alike.
"""

import base64
import itertools
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from psa_erp_assets.adapters.connectors.tryton import codec

_CONNECT_TIMEOUT = 5.0
_Answer = tuple[int, httpx.Headers, bytes]


class TrytonError(Exception):
    """A call that has no result. Which subclass says what is known about its effect. Never holds credentials."""


class RefusedError(TrytonError):
    """Tryton raised one of its own exceptions: the transaction was rolled back, nothing was done."""


class UserRefusedError(RefusedError):
    """A rule of Tryton or of its access rights (UserError); the message is meant for people."""


class WarningRaisedError(RefusedError):
    """Tryton asks for a confirmation that only a person may give (UserWarning); `name` is what is to be confirmed."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class ConcurrencyError(RefusedError):
    """A record changed after the time stamp that was sent along (ConcurrencyException)."""


class InvalidRequestError(RefusedError):
    """Tryton refused the form of the request (413 or 422) before it ran the method."""


class AuthRefusedError(TrytonError):
    """Login refused or the user may not call this at all (401, 403); nothing was done."""


class BusyError(TrytonError):
    """Refused for load (429); nothing was done. `retry_after` in seconds, where the server named it."""

    def __init__(self, message: str, *, retry_after: float | None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnreachableError(TrytonError):
    """No connection was made, so not one byte of the request left; nothing was done."""


class UnclearError(TrytonError):
    """Nobody knows whether it was done: time-out, reset, 5xx, or an answer that cannot be read."""


class TrytonRpc:
    """One user's access to one database of a Tryton server. Threads may share it.

    `timeout` is the default wait for an answer, in seconds; Tryton posts nine invoices a second, so batches
    need a long one. Sessions are opened when they are needed.
    """

    def __init__(self, url: str, database: str, user: str, password: str, *, timeout: float = 60.0) -> None:
        if httpx.URL(url).userinfo:
            raise ValueError("credentials do not belong in a base URL")
        self._endpoint = f"{url.rstrip('/')}/{database}/rpc/"
        self._user, self._password = user, password
        self._timeout = timeout
        self._session: str | None = None
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._http = httpx.Client(
            headers={"Content-Type": "application/json", "Accept": "application/json"}, follow_redirects=False
        )

    def __repr__(self) -> str:
        return f"TrytonRpc({self._endpoint!r}, user={self._user!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def call(
        self, method: str, *params: Any, context: Mapping[str, Any] | None = None, timeout: float | None = None
    ) -> Any:
        """The result of `method` in one transaction of the server. Raises a TrytonError.

        `timeout`: the wait for the answer, in seconds; an answer that trickles in may take one further wait.
        """
        session = self._session or self._login(None)
        body = {"id": next(self._ids), "method": method, "params": [*params, dict(context or {})]}
        response = self._send(body, session, timeout)
        if response[0] == 401:
            response = self._send(body, self._login(session), timeout)
        return _result(method, response)

    def search(self, model: str, domain: Sequence[Any], fields: Sequence[str]) -> list[dict[str, Any]]:
        """All records of `model` in `domain`, archived ones included. Raises a TrytonError."""
        rows = self.call(f"model.{model}.search_read", domain, 0, None, None, fields, context={"active_test": False})
        if not isinstance(rows, list):
            raise UnclearError(f"{model}: a search answered with another shape than a list")
        return rows

    def _login(self, expired: str | None) -> str:
        with self._lock:
            # Another thread may have renewed it while this one waited.
            if self._session is not None and self._session != expired:
                return self._session
            params = [self._user, {"password": self._password}, "en"]
            try:
                response = self._send(
                    {"id": next(self._ids), "method": "common.db.login", "params": params}, None, None
                )
                answer = _result("common.db.login", response)
                user_id, token = answer[0], answer[1]
            except UnclearError as error:
                # A login changes no business data, and the call itself has not been sent.
                raise UnreachableError(f"no session: {error}") from None
            except (TypeError, IndexError, KeyError):
                raise UnreachableError("no session: the login answer has another shape") from None
            raw = f"{self._user}:{user_id}:{token}".encode()
            self._session = base64.b64encode(raw).decode("ascii")
            return self._session

    def _send(self, body: Mapping[str, Any], session: str | None, timeout: float | None) -> _Answer:
        method = body["method"]
        headers = {"Authorization": f"Session {session}"} if session else {}
        seconds = timeout or self._timeout
        limits = httpx.Timeout(seconds, connect=_CONNECT_TIMEOUT)
        deadline = time.monotonic() + seconds
        try:
            with self._http.stream(
                "POST", self._endpoint, content=codec.encode(body), headers=headers, timeout=limits
            ) as response:
                content = b""
                for chunk in response.iter_bytes():
                    content += chunk
                    # httpx times single waits only; an answer that trickles in would never end.
                    if time.monotonic() > deadline:
                        raise UnclearError(f"{method}: the answer did not end within {seconds:g} s")
                return response.status_code, response.headers, content
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise UnreachableError(f"{method}: no connection ({type(error).__name__})") from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            # Named but not chained: httpx errors hold the request, and with it the session.
            raise UnclearError(f"{method}: no answer that can be read ({type(error).__name__})") from None


def _result(method: str, response: _Answer) -> Any:
    status, headers, content = response
    if status in (401, 403):
        raise AuthRefusedError(f"{method}: refused with {status}")
    if status == 429:
        raise BusyError(f"{method}: refused for load", retry_after=_seconds(headers.get("Retry-After", "")))
    if status in (413, 422):
        raise InvalidRequestError(f"{method}: the request was refused with {status}")
    if status != 200:
        raise UnclearError(f"{method}: answered {status}")
    try:
        answer = codec.decode(content)
    except ValueError:
        raise UnclearError(f"{method}: answered 200 with what is not Tryton's JSON") from None
    if not isinstance(answer, dict) or ("result" in answer) == ("error" in answer):
        raise UnclearError(f"{method}: answered 200 with neither a result nor an error")
    if "error" in answer:
        raise _typed(method, answer["error"])
    return answer["result"]


def _typed(method: str, error: Any) -> TrytonError:
    """Tryton's error list: [kind, arguments]; any other first item is an unforeseen exception's text."""
    match error:
        case ["UserError", [message, *_]]:
            return UserRefusedError(str(message))
        case ["UserWarning", [name, message, *_]]:
            return WarningRaisedError(str(name), str(message))
        case ["ConcurrencyException", message]:
            return ConcurrencyError(str(message))
        case _:
            return UnclearError(f"{method}: the server failed ({str(error)[:200]})")


def _seconds(text: str) -> float | None:
    """Retry-After in its form of whole seconds; Tryton itself never sends it, a proxy may."""
    return float(text[:9]) if text.isascii() and text.isdigit() else None
