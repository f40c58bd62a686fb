"""The HTTP base of the source connectors: authentication, pacing, retries and typed failures.

What belongs here: everything about *asking* that is alike for every vendor. What does not: paths, paging and
record shapes (a connector's `client`), and what records mean (its `canonical`).

Reads are retried, because reading twice changes nothing. Writes are never retried here: an answer that was lost
does not say whether the write was done. A failure says which request failed and how, and never carries headers,
keys, query strings or bodies.
"""

import datetime as dt
import email.utils
import json
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx
import tenacity

from psa_erp_assets.adapters.pacing import Circuit, CircuitState, RetryBudget, TokenBucket

USER_AGENT = "psa-erp-assets/0.1 (+source-connector)"

Auth = Callable[[], Mapping[str, str]]
"""Gives the authentication headers; asked at each request, so that a renewed key is used at once."""

Absence = Callable[[int, Any], bool]
"""Whether a vendor's answer (status, parsed body) means that the record does not exist."""

_TIMEOUT = httpx.Timeout(connect=5.0, read=30.0, write=10.0, pool=5.0)
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_BACKOFF = tenacity.wait_random_exponential(multiplier=0.5, max=15.0)


class SourceError(Exception):
    """A source gave no usable answer.

    `status` is None where there was no answer at all; `retry_after` is the wait that a 429 or 5xx asked for, in
    seconds, as the source wrote it and so without bound.
    """

    def __init__(
        self, method: str, path: str, what: str, *, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{method} {path}: {what}")
        self.method, self.path, self.status, self.retry_after = method, path, status, retry_after


class SourceUnreachableError(SourceError):
    """No answer, or only server errors, in all attempts. Passing; trying later is right."""


class SourceAuthError(SourceError):
    """The source refused the credentials (401) or what they may see (403). Trying again is of no use."""


class SourceThrottledError(SourceError):
    """Still throttled (429) after all attempts."""


class SourceAnswerError(SourceError):
    """The source answered with what cannot be used: not JSON, cut off, of another shape, or a refusal (4xx)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressure:
    """How one connection fares in this process.

    `tokens_left` of `requests_per_second`, `retries_left` of its budget; counts are since it was made. `succeeded_at`
    and `failed_at` are None before the first; `error` is the last failure's class, None once an answer came again.
    """

    circuit: CircuitState
    requests_per_second: float
    tokens_left: int
    retries_left: int
    requests: int
    throttled: int
    succeeded_at: dt.datetime | None
    failed_at: dt.datetime | None
    error: str | None


class JsonApi:
    """One connection to one vendor's JSON API.

    `rate` and `burst` pace it (requests a second, and at once); `attempts` bounds how often a read is tried, and so
    does a budget for all reads together; `max_wait` bounds, in seconds, each wait that a Retry-After can ask for. While
    the circuit is open, nothing is asked and every request is a SourceUnreachableError at once. Redirects are not
    followed: they would carry the credentials to wherever the answer points.
    """

    def __init__(
        self,
        base_url: str,
        *,
        auth: Auth,
        rate: float = 10.0,
        burst: int = 10,
        attempts: int = 5,
        max_wait: float = 30.0,
        timeout: httpx.Timeout | float = _TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        if httpx.URL(base_url).userinfo:
            raise ValueError("credentials do not belong in a base URL")
        self._base_url = base_url.rstrip("/")
        self._auth, self._max_wait, self._attempts, self._now = auth, max_wait, attempts, now
        self._sleep = sleep
        self._bucket = TokenBucket(rate=rate, burst=burst, clock=clock, sleep=sleep)
        self._budget, self._circuit = RetryBudget(), Circuit(clock=clock)
        self._requests = self._throttled = 0
        self._succeeded_at: dt.datetime | None = None
        self._failed_at: dt.datetime | None = None
        self._error: str | None = None
        self._http = httpx.Client(
            timeout=timeout,
            headers={"User-Agent": USER_AGENT, "Accept": "application/json"},
            follow_redirects=False,
            # A proxy of the environment cannot reach this machine's own loopback.
            trust_env=httpx.URL(base_url).host not in _LOOPBACK,
        )

    def __repr__(self) -> str:
        return f"JsonApi({self._base_url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def pressure(self) -> Pressure:
        """How the connection fares."""
        return Pressure(
            circuit=self._circuit.state,
            requests_per_second=self._bucket.rate,
            tokens_left=self._bucket.left(),
            retries_left=self._budget.left(),
            requests=self._requests,
            throttled=self._throttled,
            succeeded_at=self._succeeded_at,
            failed_at=self._failed_at,
            error=self._error,
        )

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """The parsed answer to a GET, which is tried again on 429, 5xx, time-outs and broken connections.

        A JSON number with a fraction is returned as the text in which the vendor wrote it: exact, and fit to be
        stored. Raises a SourceError.
        """
        return self._read(path, params, absent=_never)

    def get_or_none(
        self, path: str, params: Mapping[str, str] | None = None, *, absent: Absence = lambda status, _: status == 404
    ) -> Any | None:
        """As `get`, but None where `absent` takes the answer to say that the record does not exist."""
        return self._read(path, params, absent=absent)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The parsed answer to one POST, sent once. Raises a SourceError; after it the write may have been done."""
        return self._noted("POST", path, lambda: self._once("POST", path, None, body, _never))

    def _read(self, path: str, params: Mapping[str, str] | None, *, absent: Absence) -> Any:
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((SourceUnreachableError, SourceThrottledError)),
            stop=lambda state: tenacity.stop_after_attempt(self._attempts)(state) or self._retries_are_spent(state),
            wait=self._wait,
            sleep=self._sleep,
            reraise=True,
        )
        return self._noted("GET", path, lambda: retrying(self._once, "GET", path, params, None, absent))

    def _noted(self, method: str, path: str, ask: Callable[[], Any]) -> Any:
        """What `ask` returns, which is one request with its retries, unless the circuit is open."""
        if not self._circuit.admits():
            raise SourceUnreachableError(method, path, "not asked: it gave no answers lately (circuit open)")
        try:
            answer = ask()
        except SourceError as error:
            self._failed_at, self._error = self._now(), type(error).__name__
            # Any answer but a server's own failure shows that the system is there.
            if isinstance(error, SourceUnreachableError):
                self._circuit.failed()
            else:
                self._circuit.succeeded()
            raise
        except BaseException:
            # Interrupted: nothing is known of the system, and the next request finds out.
            self._circuit.failed()
            raise
        self._circuit.succeeded()
        self._succeeded_at, self._error = self._now(), None
        return answer

    def _once(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        absent: Absence,
    ) -> Any:
        self._bucket.acquire()
        self._requests += 1
        self._budget.earn()
        try:
            response = self._http.request(
                method, self._base_url + path, params=params, json=body, headers=dict(self._auth())
            )
        except httpx.TransportError as error:
            # The cause is named but not chained: httpx errors hold the request, and with it the credentials.
            raise SourceUnreachableError(method, path, f"no answer ({type(error).__name__})") from None
        except httpx.DecodingError:
            raise SourceAnswerError(method, path, "an answer whose encoding is broken") from None
        return self._answer(method, path, response, absent)

    def _answer(self, method: str, path: str, response: httpx.Response, absent: Absence) -> Any:
        status = response.status_code
        self._throttled += status == 429
        if status in (401, 403):
            raise SourceAuthError(method, path, f"refused with {status}", status=status)
        if status == 429:
            raise SourceThrottledError(method, path, "throttled", status=status, retry_after=self._asked_wait(response))
        if status >= 500:
            raise SourceUnreachableError(
                method, path, f"answered {status}", status=status, retry_after=self._asked_wait(response)
            )
        parsed, readable = _parse(response)
        if absent(status, parsed):
            return None
        if not 200 <= status < 300:
            raise SourceAnswerError(method, path, f"answered {status}", status=status)
        if not readable:
            raise SourceAnswerError(method, path, f"answered {status} with what is not JSON", status=status)
        return parsed

    def _retries_are_spent(self, _: tenacity.RetryCallState) -> bool:
        return not self._budget.spend()

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, SourceError) else None
        return min(_BACKOFF(state) if asked is None else asked, self._max_wait)

    def _asked_wait(self, response: httpx.Response) -> float | None:
        """Seconds that Retry-After asks for, never negative; None where it is absent or means nothing.

        Both forms of RFC 9110 section 10.2.3: seconds, and a date.
        """
        text = response.headers.get("Retry-After", "").strip()
        if text.isascii() and text.isdigit():
            # As many digits as anyone can mean: float() of a longer run is infinite, and int() refuses it.
            return float(text[:15])
        try:
            until = email.utils.parsedate_to_datetime(text)
        except ValueError:
            return None
        if until.tzinfo is None:
            return None
        return max(0.0, (until - self._now()).total_seconds())


def path_segment(value: str) -> str:
    """An id as one segment of a path. Ids come from outside, and "../users" must not become another endpoint.

    Raises ValueError for what cannot be an id.
    """
    if value in ("", ".", ".."):
        raise ValueError(f"{value!r} is no id")
    return urllib.parse.quote(value, safe="")


def expect_list(value: Any, path: str, *, method: str = "GET") -> list[dict[str, Any]]:
    """`value` if it is a list of objects. Raises SourceAnswerError for any other shape."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise SourceAnswerError(method, path, "answered with another shape than a list of objects")
    return value


def expect_object(value: Any, path: str, *, method: str = "GET") -> dict[str, Any]:
    """`value` if it is an object. Raises SourceAnswerError for any other shape."""
    if not isinstance(value, dict):
        raise SourceAnswerError(method, path, "answered with another shape than an object")
    return value


def _never(_status: int, _body: Any) -> bool:
    return False


def _parse(response: httpx.Response) -> tuple[Any, bool]:
    try:
        return json.loads(response.content, parse_float=str, parse_constant=_refuse_constant), True
    except (ValueError, RecursionError):
        return None, False


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")
