"""Connections in the terminal, as the console's page has them."""

import datetime as dt
from typing import Any

from psa_erp_assets.cli.output import print_table, stdout
from psa_erp_assets.services.connections import Connections, ConnectionView
from psa_erp_assets.services.plain import age


def body(found: Connections) -> dict[str, Any]:
    """The connections, and how many webhooks are given up, as JSON."""
    everything = found.to_dict()
    return {"connections": everything["connections"], "webhooks_quarantined": everything["quarantined"]}


def table(found: Connections) -> None:
    """Health, quota, circuit, cursor and age of each connection."""
    columns = ("connection", "health", "quota used", "retries left", "throttled", "circuit", "last cursor", "webhooks")
    rows = [
        (
            one.name,
            f"{one.health}{_since(one, found.as_of)}",
            _quota(one),
            "" if one.retries_left is None else str(one.retries_left),
            one.throttled,
            one.circuit + (f" until {one.paused_until:%H:%M:%S}" if one.paused_until else ""),
            _cursor(one, found.as_of),
            _webhooks(one),
        )
        for one in found.connections
    ]
    print_table("Connections", columns, rows, empty="none has been asked yet")
    if found.quarantined:
        stdout.print(f"{found.quarantined:,} webhooks were given up: `psa-erp exceptions` lists them.", highlight=False)


def _since(one: ConnectionView, now: dt.datetime) -> str:
    moments = [at for at in (one.succeeded_at, one.failed_at) if at is not None]
    if not moments:
        return ""
    return f", {one.error}, {_age(max(moments), now)} ago" if one.error else f", {_age(max(moments), now)} ago"


def _quota(one: ConnectionView) -> str:
    """Requests of the second's allowance, as its process last reported; of an ERP how much of a full batch is sent."""
    if one.requests_per_second is not None and one.tokens_left is not None:
        return f"{one.requests_per_second - one.tokens_left} of {one.requests_per_second} a second"
    return "; ".join(f"{kind} {now} of {most}" for kind, (now, most) in one.limits.items())


def _cursor(one: ConnectionView, now: dt.datetime) -> str:
    if not one.cursors:
        return ""
    latest = max(one.cursors, key=lambda cursor: cursor.moved_at)
    return f"{latest.name} {latest.value}, moved {_age(latest.moved_at, now)} ago"


def _webhooks(one: ConnectionView) -> str:
    if not one.waiting:
        return ""
    waits = "" if one.oldest_waiting_seconds is None else f", the oldest for {one.oldest_waiting_seconds:,} s"
    return f"{one.waiting:,} wait{waits}" + ("; sweeps stand back" if one.above_high_water else "")


def _age(at: dt.datetime, now: dt.datetime) -> str:
    return age(max(0, int((now - at).total_seconds())))
