"""What each answer of a server is taken to mean, over real HTTP: definite only where nothing can have been done."""

import datetime as dt
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from psa_erp_assets.adapters.connectors.tryton.erp import TrytonErp
from psa_erp_assets.adapters.connectors.tryton.rpc import AuthRefusedError, TrytonRpc
from psa_erp_assets.domain.effects import BillingLine, EffectType
from psa_erp_assets.domain.erp import Accepted, Ambiguous, Create, ErpClass, LookUpFailedError, Rejected, Throttled
from psa_erp_assets.domain.money import Money
from psa_erp_assets_tests.support.scripted_server import Asked, Reply, as_json, scripted_server
from psa_erp_assets_tests.support.tryton import key_of

PASSWORD = "a-password-of-this-test"
COMMAND = Create(
    key=key_of("answers"),
    effect=BillingLine(
        erp_company="1",
        party="2",
        analytic="3",
        employee_name="Ada Jones",
        service_date=dt.date(2026, 9, 14),
        minutes=50,
        per_hour=Money(Decimal(100), "USD"),
        amount=Money(Decimal("83.33"), "USD"),
        tax=None,
        description="2026-09-14 Ada Jones: workshop",
    ),
)


def result(value: Any) -> Reply:
    """A successful answer of Tryton's."""
    return as_json({"id": 1, "result": value})


def error(*value: Any) -> Reply:
    """An error list of Tryton's, which comes with HTTP 200."""
    return as_json({"id": 1, "error": list(value)})


def tryton(
    on_create: Callable[[Asked], Reply],
    *,
    login: Callable[[Asked], Reply] = lambda _: result([7, "token", None]),
    reading: Callable[[Asked], Reply] | None = None,
    reference: bool = False,
    found: list[dict[str, Any]] | None = None,
    accounts: list[str] | None = None,
) -> Callable[[Asked], Reply]:
    """A server that knows one company, with all accounts unless named; `on_create` answers what matters."""

    def answer(asked: Asked) -> Reply:
        method, params = asked.body["method"], asked.body["params"]
        if method == "common.db.login":
            return login(asked)
        if method == "model.account.invoice.line.create":
            return on_create(asked)
        if reading is not None:
            return reading(asked)
        if method == "model.account.invoice.line.fields_get":
            return result({"id": {}, **({"external_ref": {}} if reference else {})})
        if method == "model.account.invoice.line.on_change":
            return result({"account": 40})
        if method == "model.account.invoice.line.search_read":
            return result(found or [])
        if method == "model.account.account.search_read":
            codes = accounts if accounts is not None else params[0][1][2]
            return result([{"id": 50 + n, "code": code} for n, code in enumerate(codes)])
        fields = params[4]
        row = {"id": 5, "default_uom": 6, "code": "USD", "currency.": {"code": "USD"}, "company": 1}
        row["party."] = {"name": "Example Inc."}
        return result([{"id": 5, **{k: v for k, v in row.items() if k in fields or k.endswith(".")}}])

    return answer


def submit(answer: Callable[[Asked], Reply], *, timeout: float = 5.0):
    """What the port says, and the server's requests for a create."""
    with scripted_server(answer) as server, TrytonRpc(server.url, "erp", "sync", PASSWORD, timeout=timeout) as rpc:
        given = TrytonErp(rpc, timeout=timeout).submit([COMMAND])
        creates = [a for a in server.asked if a.body["method"].endswith(".create")]
        return given, creates


def slow(_: Asked) -> Reply:
    time.sleep(3.0)
    return result([1])


AMBIGUOUS = {
    "500": lambda _: Reply(status=500, body=b"oops"),
    "502": lambda _: Reply(status=502, body=b"<html>"),
    "503 as for lock contention": lambda _: Reply(status=503, body=b"could not serialize access"),
    "504": lambda _: Reply(status=504),
    "reset": lambda _: Reply(body=b'{"id": 1, "resu', drop=True),
    "truncated JSON": lambda _: Reply(body=b'{"id": 1, "result": [1'),
    "empty": lambda _: Reply(body=b""),
    "HTML with 200": lambda _: Reply(body=b"<html>please log in</html>"),
    "redirect": lambda _: Reply(status=302, headers={"Location": "/login"}),
    "201": lambda _: Reply(status=201, body=b"{}"),
    "404": lambda _: Reply(status=404),
    "400": lambda _: Reply(status=400),
    "neither result nor error": lambda _: as_json({"id": 1}),
    "a list": lambda _: as_json([1]),
    "a wrong number of ids": lambda _: result([1, 2]),
    "null": lambda _: result(None),
    "text for an id": lambda _: result(["1"]),
    "an unforeseen exception": lambda _: error("KeyError: 'x'", ""),
    "an error of another shape": lambda _: error("UserError"),
    "broken gzip": lambda _: Reply(body=b"not gzip", headers={"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_an_answer_that_does_not_say_what_was_done_is_ambiguous(name):
    """Taken for a failure it would be sent again and bill the work twice."""
    given, creates = submit(tryton(AMBIGUOUS[name]))
    assert isinstance(given, Ambiguous)
    assert len(creates) == 1


def test_a_time_out_is_ambiguous_and_not_sent_again():
    """A timeout is neither success nor failure."""
    # The deadline is for the readings before the create, too: long enough for these on a busy machine.
    given, creates = submit(tryton(slow), timeout=2.0)
    assert isinstance(given, Ambiguous)
    assert len(creates) == 1


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (error("UserError", ["The value is not valid.", "", None]), "posting_rejected"),
        (error("UserWarning", ["name", "Are you sure?", ""]), "posting_rejected"),
        (Reply(status=413), "posting_rejected"),
        (Reply(status=422), "posting_rejected"),
        (Reply(status=403), "erp_auth"),
    ],
)
def test_what_tryton_is_known_to_have_rolled_back_is_rejected(reply, code):
    """Ambiguous instead, it would be looked up in vain and tried for ever."""
    given, _ = submit(tryton(lambda _: reply))
    assert isinstance(given, Rejected)
    assert given.code == code


def test_a_refusal_for_load_is_throttled_for_as_long_as_the_server_asks():
    """429 is the one refusal that is sent again without a look-up."""
    given, _ = submit(tryton(lambda _: Reply(status=429, headers={"Retry-After": "7"})))
    assert given == Throttled(retry_after=7.0)


def test_a_concurrency_exception_is_definite():
    """It is raised inside of the transaction, which is rolled back: the same may be sent again."""
    given, _ = submit(tryton(lambda _: error("ConcurrencyException", "Records were modified in the meanwhile")))
    assert given == Throttled(retry_after=None)


def test_no_connection_is_definite():
    """Not a byte left. Ambiguous instead, each outage would cost the look-up horizon for every item."""
    with scripted_server(tryton(lambda _: result([1]))) as server:
        url = server.url
    with TrytonRpc(url, "erp", "sync", PASSWORD) as rpc:
        assert TrytonErp(rpc).submit([COMMAND]) == Throttled(retry_after=None)


@pytest.mark.parametrize("reply", [Reply(status=500), Reply(body=b"<html>")])
def test_trouble_before_the_create_is_definite(reply):
    """The reads that come first post nothing, whatever becomes of them."""
    given, creates = submit(tryton(lambda _: result([1]), reading=lambda _: reply))
    assert given == Throttled(retry_after=None)
    assert creates == []


def test_an_expired_session_is_renewed_and_the_create_sent_again():
    """Tryton checks the session before it does anything; a 401 in mid-batch must not stop the run."""
    tokens = iter(["old", "new"])
    seen: list[str] = []

    def on_create(asked: Asked) -> Reply:
        seen.append(asked.headers["authorization"])
        return result([11]) if len(seen) == 2 else Reply(status=401)

    given, _ = submit(tryton(on_create, login=lambda _: result([7, next(tokens), None])))
    assert given == Accepted(erp_ids={COMMAND.key: "11"})
    assert seen[0] != seen[1]


def test_a_refused_login_pauses_the_connection_and_sends_nothing():
    """A revoked password is the operator's to renew; no item may be blamed for it."""
    given, creates = submit(tryton(lambda _: result([1]), login=lambda _: Reply(status=401, body=b"<html>")))
    assert isinstance(given, Rejected)
    assert (given.code, creates) == ("erp_auth", [])


def test_credentials_show_in_no_repr_and_no_error():
    """They would end up in logs and in the evidence that is kept with an attempt."""
    with scripted_server(lambda _: Reply(status=401)) as server, TrytonRpc(server.url, "erp", "sync", PASSWORD) as rpc:
        assert PASSWORD not in repr(rpc)
        with pytest.raises(AuthRefusedError) as caught:
            rpc.call("model.party.party.search")
        assert PASSWORD not in repr(caught.value)
        assert caught.value.__cause__ is None


def test_an_external_reference_that_is_there_already_is_told_apart_from_other_refusals():
    """An earlier attempt may have made it: it is looked up, not given up."""
    there = {
        "id": 9,
        "external_ref": COMMAND.key,
        "company": 1,
        "note": None,
        "quantity": 0.8333333333,
        "unit": 6,
        "amount": {"__class__": "Decimal", "decimal": "83.33"},
        "currency.": {"code": "USD"},
        "taxes": [],
        "invoice": None,
        "invoice.": None,
        "taxes_date": {"__class__": "date", "year": 2026, "month": 9, "day": 14},
    }
    refused = error("UserError", ["The external reference is already used in this company.", "", None])
    given, _ = submit(tryton(lambda _: refused, reference=True, found=[there]))
    assert isinstance(given, Rejected)
    assert given.code == "posting_duplicate"


@pytest.mark.parametrize("reply", [Reply(status=500), Reply(body=b"<html>"), result({"not": "a list"}), result([{}])])
def test_a_failed_look_up_is_not_an_empty_one(reply):
    """Read as 'not there', it would let the engine send a document a second time."""
    with (
        scripted_server(tryton(lambda _: result([1]), reading=lambda _: reply)) as server,
        TrytonRpc(server.url, "erp", "sync", PASSWORD) as rpc,
        pytest.raises(LookUpFailedError),
    ):
        TrytonErp(rpc).look_up("1", EffectType.BILLING_LINE, [COMMAND.key])


def test_the_class_of_an_erp_that_cannot_be_asked_is_not_guessed():
    """Guessed as the stronger one, nobody would look for duplicates."""
    with (
        scripted_server(tryton(lambda _: result([1]), reading=lambda _: Reply(status=502))) as server,
        TrytonRpc(server.url, "erp", "sync", PASSWORD) as rpc,
        pytest.raises(LookUpFailedError),
    ):
        assert TrytonErp(rpc).erp_class is not ErpClass.NONE


def test_a_key_that_no_search_could_find_again_is_not_sent():
    """A document under it would be lost to every look-up."""
    with scripted_server(tryton(lambda _: result([1]))) as server, TrytonRpc(server.url, "erp", "x", PASSWORD) as rpc:
        given = TrytonErp(rpc).submit([Create(key="50%", effect=COMMAND.effect)])
    assert isinstance(given, Rejected)
    assert given.code == "posting_rejected"


def test_records_of_another_shape_before_the_create_are_definite():
    """A proxy's invention must neither crash the run nor be taken for an uncertain posting."""
    given, creates = submit(tryton(lambda _: result([1]), reading=lambda _: result([{"id": 1}])))
    assert given == Throttled(retry_after=None)
    assert creates == []


def test_an_account_that_finance_has_not_made_is_named_and_nothing_is_sent():
    """Told as a failed search it would send the operator through the code instead of to the chart of accounts."""
    given, creates = submit(tryton(lambda _: result([1]), accounts=["5000", "5900", "2150", "2160", "2300"]))
    assert isinstance(given, Rejected)
    assert creates == []
    assert given.message == (
        "Example Inc. has no account with the code 1250 (contract balance), 1260 (intercompany receivable), "
        "5100 (expected loss), 5910 (labor charged out)"
    )
