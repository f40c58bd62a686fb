"""The metrics by name: what each means and which labels it has. docs/observability.md and the alert rules follow it.

No label and no value holds business content: no name, no amount, no id of an object. Companies of the ERP and legal
entities are codes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the histograms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One metric. The name of a counter is without its ending `_total`."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    meaning: str
    labels: tuple[str, ...] = ()

    @property
    def exposed(self) -> frozenset[str]:
        """The names under which Prometheus finds it."""
        if self.kind == "counter":
            return frozenset({f"{self.name}_total"})
        if self.kind == "histogram":
            return frozenset(f"{self.name}_{part}" for part in ("bucket", "count", "sum"))
        return frozenset({self.name})


def _gauge(name: str, meaning: str, *labels: str) -> Family:
    return Family(name=f"psa_erp_{name}", kind="gauge", meaning=meaning, labels=labels)


def _counter(name: str, meaning: str, *labels: str) -> Family:
    return Family(name=f"psa_erp_{name}", kind="counter", meaning=meaning, labels=labels)


def _histogram(name: str, meaning: str, *labels: str) -> Family:
    return Family(name=f"psa_erp_{name}", kind="histogram", meaning=meaning, labels=labels)


_ALL = (
    # Of this process: nobody else receives webhooks.
    _counter("webhooks_accepted", "Webhooks kept, copies included.", "source"),
    _counter("webhooks_duplicate", "Webhooks kept whose body had come before.", "source"),
    _counter("webhooks_refused", "Webhooks answered with a refusal, by HTTP status.", "source", "status"),
    _histogram("webhook_receive_seconds", "From a webhook's first byte here to its answer.", "source"),
    _gauge("background_workers", "Workers of this server that should live, and that do.", "state"),
    _gauge("database_pool_connections", "Connections of this process to PostgreSQL.", "state"),
    # Of the store.
    _counter("inbox_payloads", "Payload versions that have got a number in the inbox."),
    _gauge("deliveries_pending", "Webhooks that are kept and not handled.", "source"),
    _gauge("deliveries_oldest_age_seconds", "Age of the oldest webhook that is not handled; 0 where none waits.",
           "source"),
    _gauge("entries_dirty", "Entries that changed since they were last planned.", "legal_entity"),
    _gauge("entries_dirty_oldest_age_seconds", "Age of the oldest such change; 0 where there is none.",
           "legal_entity"),
    _counter("plan_items", "Items of plans that were made since this server started.", "action", "effect_type"),
    _gauge("plans_waiting", "Plans that wait for an approval."),
    _gauge("plans_waiting_oldest_age_seconds", "Age of the oldest of them; 0 where none waits."),
    _gauge("postings", "Postings by state.", "erp_company", "effect_type", "state"),
    _counter("posting_attempts", "Attempts to send a posting that have ended since this server started.",
             "erp_company", "effect_type", "outcome", "fault"),
    _histogram("erp_call_seconds", "From the commit of an intent to the ERP's answer, by posting.", "erp_company"),
    _gauge("connection_circuit_open", "1 while a system is left alone because it gave no answers.", "connection"),
    _gauge("connection_failing", "1 if the last request to a system failed.", "connection"),
    _gauge("connection_tokens_left", "Requests that could go at once.", "connection"),
    _gauge("connection_retries_left", "What is left of the budget for retries.", "connection"),
    _gauge("connection_throttled", "Requests that a system throttled, as its last reporter counted.", "connection"),
    _gauge("connection_reported_timestamp_seconds", "When a process last said how a system fares.", "connection"),
    _gauge("last_read_timestamp_seconds", "When an incremental read last succeeded.", "source", "cursor"),
    _gauge("exceptions_open", "Open exceptions.", "fault_class"),
    _gauge("exceptions_overdue", "Open exceptions that should have been cleared by now.", "fault_class"),
    _gauge("exceptions_oldest_age_seconds", "Age of the oldest open exception.", "fault_class"),
    _gauge("reconciliation_unexplained", "Differences that reconciliation cannot explain.", "legal_entity"),
    _gauge("audit_checkpoint_timestamp_seconds", "When the audit log was last signed; 0 for never."),
    _gauge("audit_leaves_unsigned", "Entries of the audit log under no checkpoint yet."),
    _gauge("audit_rows_waiting", "Rows that have no place in the audit log yet."),
    _gauge("audit_log_holds", "0 if the last verification found a difference; 1 otherwise."),
    _gauge("notifications_waiting", "Messages of the outbox that are not sent yet."),
    _gauge("notifications_given_up", "Messages of the outbox that could not be sent."),
    _gauge("figures_up", "0 if the store could not be read for this scrape.", "part"),
)  # fmt: skip

FAMILIES: Mapping[str, Family] = {family.name: family for family in _ALL}
"""Every metric by its name."""
