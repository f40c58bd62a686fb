"""Tell people of trouble: what has happened becomes events, events become one message a route, messages are sent.

Events are read from the store, so that nothing that writes exceptions or plans has to know of this or waits for it.
Events, messages and the positions of routes are written in one transaction: whatever ends the process, an event is in
exactly one message of each route that wants it. A message is marked as sent after it was taken; where the process ends
in between, it is sent again under the same number, by which receivers and mailboxes know it.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping

from psa_erp_assets.adapters.outgoing import NotTakenError, post_hook, send_mail
from psa_erp_assets.adapters.store import notifications as rows
from psa_erp_assets.adapters.store.notifications import Happened, Message
from psa_erp_assets.domain.exception_duties import Priority
from psa_erp_assets.domain.faults import FaultClass
from psa_erp_assets.domain.notices import TITLES, Notice, NoticeKind, Wanted, digest, subject
from psa_erp_assets.services.exception_cases import late_since
from psa_erp_assets.services.scope import Scope
from psa_erp_assets.settings import ConfigError, NotificationRouteSettings, OperatorError, Settings

ATTEMPTS = 24
"""How often a message is tried; with the pauses between them that is most of a day."""

KEPT = dt.timedelta(days=90)
"""How long a message stays in the outbox after its end."""

_EMAIL, _WEBHOOK = "email", "webhook"
_LEASE = dt.timedelta(minutes=2)
_BACKOFF, _LONGEST = dt.timedelta(seconds=30), dt.timedelta(hours=1)
_MOST_LINES = 50
_PLAN = "plan_awaits_approval"


class NoRouteError(OperatorError):
    """There is nobody to tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What came of one attempt; `error` is None where the message was taken, `for_good` where it never will be."""

    route: str
    channel: str
    target: str
    events: int
    error: str | None = None
    for_good: bool = False


def collect(engine: Engine, settings: Settings, scope: Scope, *, now: dt.datetime) -> int:
    """Note what has happened, and put a message into the outbox for each target of each route whose time has come.

    Answers with how many messages that were. A route that is new hears of what happens from now on.
    """
    routes = settings.notifications.routes
    if not routes:
        return 0
    with engine.begin() as connection:
        rows.lock(connection, scope.tenant)
        before = rows.last_event(connection, scope.tenant)
        _notice(connection, scope, now)
        last = rows.last_event(connection, scope.tenant)
        rows.forget(connection, scope.tenant, now - KEPT)
        known = rows.positions(connection, scope.tenant)
        made = 0
        for route in routes:
            position, digested_at = known.get(route.name, (before, None))
            if digested_at is not None and now - digested_at < dt.timedelta(minutes=route.digest_minutes):
                continue
            wanted = _wanted(route)
            found = digest(n for n in rows.after(connection, scope.tenant, position) if wanted.matches(n))
            for channel, target in _targets(route) if found else ():
                rows.put_message(
                    connection,
                    scope.tenant,
                    route=route.name,
                    channel=channel,
                    target=target,
                    events=sum(n.count for n in found),
                    body=_body(settings, route.name, found, now),
                    now=now,
                )
                made += 1
            rows.put_position(connection, scope.tenant, route.name, last, now if found else None)
    return made


def deliver(engine: Engine, settings: Settings, *, clock: Callable[[], dt.datetime]) -> list[Sent]:
    """Send what is due. What is not taken is tried again later, and given up in the end."""
    done: list[Sent] = []
    while True:
        with engine.begin() as connection:
            message = rows.claim(connection, settings.tenant, now=clock(), lease=_LEASE)
        if message is None:
            return done
        done.append(_deliver(engine, settings, message, clock))


def send_test(settings: Settings, *, now: dt.datetime, route: str | None = None) -> list[Sent]:
    """Send a message that says that it is a test to each target of a route, or of all; nothing is kept.

    Raises NoRouteError where there is no such route.
    """
    routes = [r for r in settings.notifications.routes if route is None or r.name == route]
    if not routes:
        known = ", ".join(r.name for r in settings.notifications.routes) or "none"
        raise NoRouteError(f"notifications.yaml has {'no route' if route is None else f'no route {route!r}'}: {known}")
    done = []
    for one in routes:
        for channel, target in _targets(one):
            body = _body(settings, one.name, (), now)
            message = Message(
                id=0, route=one.name, channel=channel, target=target, number=f"msg_test_{int(now.timestamp())}",
                events=0, body=body, attempts=1, created_at=now,
            )  # fmt: skip
            done.append(_attempt(settings, message, now))
    return done


def _notice(connection: Connection, scope: Scope, now: dt.datetime) -> None:
    """Keep an event for each exception that is new or overdue, and for a verification that failed."""
    late = late_since(scope.duties, now)
    while found := rows.unnoticed(connection, scope.tenant):
        rows.keep(connection, scope.tenant, [_happened(row, _kind(row), scope) for row in found], now)
    while found := rows.unnoticed(connection, scope.tenant, late=late):
        overdue = [_happened(row, NoticeKind.EXCEPTION_OVERDUE, scope) for row in found]
        rows.keep(connection, scope.tenant, overdue, now)
    broken = rows.broken_verification(connection, scope.tenant)
    if broken is not None:
        code = NoticeKind.AUDIT_LOG_BROKEN.value
        happened = Happened(
            kind=NoticeKind.AUDIT_LOG_BROKEN, ref=broken, code=code, fault_class=FaultClass.BUG.value,
            severity=Priority.URGENT,
        )  # fmt: skip
        rows.keep(connection, scope.tenant, [happened], now)


def _kind(row: RowMapping) -> NoticeKind:
    if row["code"] == _PLAN:
        return NoticeKind.PLAN_WAITING
    difference = str(row["scope"]).startswith(rows.RECONCILIATION)
    return NoticeKind.UNEXPLAINED_DIFFERENCE if difference else NoticeKind.EXCEPTION_OPENED


def _happened(row: RowMapping, kind: NoticeKind, scope: Scope) -> Happened:
    overdue = kind is NoticeKind.EXCEPTION_OVERDUE
    given = scope.duties.priority(row["fault_class"], minutes=row["minutes"], amount=None, overdue=overdue)
    return Happened(
        kind=kind,
        ref=row["id"],
        code=row["code"],
        fault_class=row["fault_class"],
        severity=given if row["priority"] is None else Priority(row["priority"]),
        legal_entity=row["legal_entity"],
        service_month=row["service_month"],
    )


def _wanted(route: NotificationRouteSettings) -> Wanted:
    return Wanted(
        kinds=route.events,
        classes=[c.value for c in route.classes],
        at_least=route.at_least,
        legal_entities=route.legal_entities,
    )


def _targets(route: NotificationRouteSettings) -> list[tuple[str, str]]:
    return [*((_EMAIL, address) for address in route.emails), *((_WEBHOOK, hook.url) for hook in route.webhooks)]


def _body(settings: Settings, route: str, found: Sequence[Notice], now: dt.datetime) -> dict[str, Any]:
    lines = [
        {
            "event": n.kind.value,
            "code": n.code,
            "priority": n.severity.value,
            "legal_entity": n.legal_entity,
            "service_month": n.service_month,
            "count": n.count,
        }
        for n in found[:_MOST_LINES]
    ]
    return {
        "type": "psa_erp.notification",
        "timestamp": now.isoformat(timespec="seconds"),
        "data": {
            "route": route,
            "subject": subject(found) or "a test: nothing has happened",
            "events": sum(n.count for n in found),
            "lines": lines,
            "lines_left_out": max(0, len(found) - _MOST_LINES),
            "url": settings.console_url,
        },
    }


def _deliver(engine: Engine, settings: Settings, message: Message, clock: Callable[[], dt.datetime]) -> Sent:
    attempt, now = _attempt(settings, message, clock()), clock()
    with engine.begin() as connection:
        if attempt.error is None:
            rows.mark_sent(connection, message, now)
        elif attempt.for_good or message.attempts >= ATTEMPTS:
            rows.give_up(connection, message, now=now, error=attempt.error)
        else:
            wait = min(_BACKOFF * 2 ** min(message.attempts - 1, 10), _LONGEST)
            rows.postpone(connection, message, until=now + wait, error=attempt.error)
    return attempt


def _attempt(settings: Settings, message: Message, now: dt.datetime) -> Sent:
    error, for_good = None, False
    try:
        _send(settings, message, now)
    except NotTakenError as refused:
        error, for_good = str(refused), refused.for_good
    except ConfigError as missing:
        error = str(missing)
    return Sent(
        route=message.route,
        channel=message.channel,
        target=message.target,
        events=message.events,
        error=error,
        for_good=for_good,
    )


def _send(settings: Settings, message: Message, now: dt.datetime) -> None:
    """Send it as the settings are now. Raises NotTakenError, or ConfigError where a secret is missing."""
    config = settings.notifications
    if message.channel == _EMAIL:
        mail = config.mail
        if mail is None:
            raise NotTakenError("the settings have no mail server any more", for_good=True)
        data = message.body["data"]
        send_mail(
            mail,
            None if mail.password is None else settings.secret(mail.password),
            to=message.target,
            subject=f"[psa-erp] {data['subject']}",
            text=_text(data),
            number=message.number,
            at=message.created_at,
        )
        return
    hooks = [h for r in config.routes if r.name == message.route for h in r.webhooks if h.url == message.target]
    if not hooks:
        raise NotTakenError("the settings do not have this address any more", for_good=True)
    live = [secret.strip() for secret in settings.secret(hooks[0].secrets).split(",")]
    post_hook(message.target, live, number=message.number, body=message.body, at=now)


def _text(data: Mapping[str, Any]) -> str:
    """A message as people read it."""
    parts = [f"{data['subject']}.", ""]
    for line in data["lines"]:
        title = TITLES[NoticeKind(line["event"])][line["count"] != 1]
        where = ", ".join(str(part) for part in (line["legal_entity"], line["service_month"]) if part)
        code = "" if line["code"] == line["event"] else f": {line['code']}"
        parts.append(f"{line['count']:>6,}  {title}{code}{f' ({where})' if where else ''}, {line['priority']}")
    if data["lines_left_out"]:
        parts.append(f"        and {data['lines_left_out']:,} further lines")
    parts += ["", f"{data['url'].rstrip('/')}/exceptions", "", f"Route {data['route']} of notifications.yaml."]
    return "\n".join(parts) + "\n"
