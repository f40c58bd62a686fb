"""What the log says of a piece of work that is done: the one place where figures of services become log events."""

import logging

from psa_erp_assets.adapters.logs import say
from psa_erp_assets.domain.log_events import LogEvent
from psa_erp_assets.domain.posting import Event
from psa_erp_assets.services.hints import Drained
from psa_erp_assets.services.notifications import Sent
from psa_erp_assets.services.planning import Plan
from psa_erp_assets.services.posting_policy import EngineReport
from psa_erp_assets.services.revisions import Received


def drained(done: Drained, *, seconds: float) -> None:
    """Webhooks were worked off; nothing is said where none was due."""
    if done.handled or done.failed:
        say(
            LogEvent.DELIVERIES_HANDLED,
            level=logging.WARNING if done.failed else logging.INFO,
            handled=done.handled,
            failed=done.failed,
            revised=done.revised,
            seconds=round(seconds, 3),
        )


def swept(source: str, received: Received, *, complete: bool, seconds: float) -> None:
    """A source was read."""
    say(
        LogEvent.SWEEP_DONE,
        source=source,
        complete=complete,
        fetched=received.fetched,
        new_versions=received.new_versions,
        revised=len(received.revised),
        malformed=received.malformed,
        seconds=round(seconds, 3),
    )


def planned(plan: Plan, *, seconds: float) -> None:
    """A plan was applied, or waits for an approval."""
    entity, month = plan.partition
    if plan.waits:
        say(LogEvent.PLAN_WAITS, plan=plan.id, legal_entity=entity, service_month=month)
        return
    say(LogEvent.PLAN_APPLIED, plan=plan.id, legal_entity=entity, service_month=month, seconds=round(seconds, 3))


def posted(partition: tuple[str, str], report: EngineReport, *, seconds: float) -> None:
    """A run of the posting engine ended."""
    trouble = report.paused or report.events[Event.REJECTED] or report.events[Event.DRIFTED]
    say(
        LogEvent.POSTINGS_SENT,
        level=logging.WARNING if trouble else logging.INFO,
        legal_entity=partition[0],
        service_month=partition[1],
        attempts=report.requests,
        confirmed=report.events[Event.CONFIRMED],
        verified=report.events[Event.VERIFIED],
        rejected=report.events[Event.REJECTED],
        drifted=report.events[Event.DRIFTED],
        under_way=report.under_way,
        seconds=round(seconds, 3),
    )


def reconciled(partition: tuple[str, str], *, entries: int, unexplained: int) -> None:
    """A partition was compared with the ERP."""
    say(
        LogEvent.RECONCILED,
        level=logging.WARNING if unexplained else logging.INFO,
        legal_entity=partition[0],
        service_month=partition[1],
        entries=entries,
        unexplained=unexplained,
    )


def notified(sent: Sent) -> None:
    """A message was taken, or not."""
    if sent.error is None:
        say(LogEvent.NOTIFICATION_SENT, route=sent.route, channel=sent.channel, messages=sent.events)
    else:
        say(LogEvent.NOTIFICATION_NOT_TAKEN, level=logging.WARNING, route=sent.route, channel=sent.channel)
