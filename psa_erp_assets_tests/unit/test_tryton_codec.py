"""Tryton's JSON: what is sent is what Tryton understands, and what it sends is read exactly."""

import datetime as dt
import json
from decimal import Decimal

import pytest

from psa_erp_assets.adapters.connectors.tryton import codec


def test_every_kind_of_value_survives_the_way_there_and_back():
    """A value that changes on the way would post another amount, date or duration than was decided."""
    body = {
        "amount": Decimal("83.33"),
        "date": dt.date(2026, 9, 14),
        "at": dt.datetime(2026, 9, 14, 23, 59, 1, 5, tzinfo=dt.UTC),
        "took": dt.timedelta(minutes=95),
        "none": None,
        "nested": [{"rate": Decimal("0.20")}],
    }
    assert codec.decode(codec.encode(body)) == body


def test_an_instant_is_sent_in_utc():
    """Tryton knows no offsets: the wall clock of another zone would shift every 'modified since' search."""
    berlin = dt.datetime(2026, 9, 14, 1, 30, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    sent = json.loads(codec.encode(berlin))
    assert (sent["day"], sent["hour"], sent["minute"]) == (13, 23, 30)


@pytest.mark.parametrize("value", [dt.datetime(2026, 9, 14), float("nan"), {1, 2}])  # noqa: DTZ001
def test_what_tryton_would_misread_is_not_sent(value):
    """A naive instant, a NaN or a set has no one meaning; guessing one would be silent corruption."""
    with pytest.raises((TypeError, ValueError)):
        codec.encode(value)


def test_a_number_with_a_fraction_is_read_without_a_float():
    """0.1 as a float is not 0.1; read-back would report drift that is not there."""
    assert codec.decode(b'{"quantity": 0.8333333333}') == {"quantity": Decimal("0.8333333333")}


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": NaN}',
        b'{"__class__": "date", "year": 2026}',
        b'{"__class__": "Decimal", "decimal": "x"}',
        b'{"__class__": "timedelta", "seconds": null}',
        b'{"__class__": "surprise"}',
        b'{"result": [1, 2',
        b"\xff\xfe",
        b"<html>busy</html>",
        b"[" * 100_000,
    ],
)
def test_what_is_not_trytons_json_is_a_value_error(text):
    """Any other exception would escape the classification of answers and crash the run."""
    with pytest.raises(ValueError):  # noqa: PT011 - every message is right, the type is the contract
        codec.decode(text)
