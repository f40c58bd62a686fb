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
from types import TracebackType
from typing import Any, Self

import httpx
import tenacity

from psa_erp_assets.adapters.pacing import TokenBucket

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


class JsonApi:
    """One connection to one vendor's JSON API.

    `rate` and `burst` pace it (requests a second, and at once); `attempts` bounds how often a read is tried;
    `max_wait` bounds, in seconds, each wait that a Retry-After can ask for. Redirects are not followed: they would
    carry the credentials to wherever the answer points.
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
        return self._once("POST", path, None, body, _never)

    def _read(self, path: str, params: Mapping[str, str] | None, *, absent: Absence) -> Any:
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((SourceUnreachableError, SourceThrottledError)),
            stop=tenacity.stop_after_attempt(self._attempts),
            wait=self._wait,
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(self._once, "GET", path, params, None, absent)

    def _once(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        absent: Absence,
    ) -> Any:
        self._bucket.acquire()
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
