"""Notifications: who is told, how often, and that no message is lost, sent twice, or says too much."""

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, func, insert, select, update

from psa_erp_assets.adapters.outgoing import NotTakenError, send_mail
from psa_erp_assets.adapters.store import exceptions
from psa_erp_assets.adapters.store import notifications as rows
from psa_erp_assets.adapters.store.exceptions import Sighting
from psa_erp_assets.adapters.store.schema_audit import audit_verification
from psa_erp_assets.adapters.store.schema_notifications import notification
from psa_erp_assets.domain.signatures import Delivery, Scheme, Signature
from psa_erp_assets.services import notifications
from psa_erp_assets.services.notifications import NoRouteError
from psa_erp_assets.services.scope import Scope
from psa_erp_assets.settings import MailSettings, NotificationSettings, Settings, load_settings
from psa_erp_assets_tests.support.mail_server import PASSWORD, UNKNOWN, USER, MailServer, mail_server
from psa_erp_assets_tests.support.webhook_receiver import Receiver, webhook_receiver

NOW = dt.datetime(2026, 10, 5, 9, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
OLD, NEW = "whsec_b2xkLXNlY3JldC1vZi10aGUtdGVzdHM=", "whsec_bmV3LXNlY3JldC1vZi10aGUtdGVzdHM="
PERSON = "Ada Lovelace, salary 123456.78"


@pytest.fixture
def mail(tmp_path: Path) -> Iterator[MailServer]:
    with mail_server(tmp_path) as server:
        yield server


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with webhook_receiver() as receiver:
        yield receiver


def make(mail: MailServer | None = None, hook: Receiver | None = None, **route: object) -> Settings:
    """The committed settings with one route to the servers of the test."""
    body: dict[str, object] = {"name": "on-call"} | route
    if hook is not None:
        body["webhooks"] = [{"url": hook.url, "secrets": "PSA_ERP_HOOKS"}]
    config: dict[str, object] = {}
    if mail is not None:
        body.setdefault("emails", ["ops@example.com"])
        config["mail"] = {
            "host": mail.host, "port": mail.port, "user": USER, "password": "PSA_ERP_MAIL",
            "sender": "psa-erp@example.com", "ca_file": str(mail.ca_file),
        }  # fmt: skip
    config["routes"] = [body]
    secrets = {"PSA_ERP_MAIL": SecretStr(PASSWORD), "PSA_ERP_HOOKS": SecretStr(f"{NEW}, {OLD}")}
    settings = load_settings({})
    told = NotificationSettings.model_validate(config)
    return settings.model_copy(update={"notifications": told, "secrets": secrets})


def happen(engine: Engine, *codes: str, now: dt.datetime = NOW, scope: str = "plan", entity: str = "US") -> None:
    """Open an exception for each code."""
    found = [
        Sighting(code=code, object_id=f"o{n}", detail=PERSON, legal_entity=entity, service_month="2026-09")
        for n, code in enumerate(codes)
    ]
    with engine.begin() as connection:
        exceptions.open_or_touch(connection, load_settings({}).tenant, scope, found, now)


def collect(engine: Engine, settings: Settings, now: dt.datetime = NOW) -> int:
    return notifications.collect(engine, settings, Scope.of(settings), now=now)


def deliver(engine: Engine, settings: Settings, now: dt.datetime = NOW) -> list[notifications.Sent]:
    return notifications.deliver(engine, settings, clock=lambda: now)


def test_five_hundred_exceptions_are_one_message(clean_store: Engine, mail: MailServer, hook: Receiver) -> None:
    """A missing rate fills five hundred mailboxes' screens, and the one message that matters is among them."""
    settings = make(mail, hook)
    collect(clean_store, settings)
    happen(clean_store, *["no_bill_rate"] * 499, "erp_auth")
    assert collect(clean_store, settings) == 2
    assert [sent.error for sent in deliver(clean_store, settings)] == [None, None]
    [message] = mail.arrived
    assert message["Subject"] == "[psa-erp] 500 new exceptions"
    assert mail.encrypted == [True]
    [(_, body)] = hook.wait_for(1)
    lines = json.loads(body)["data"]["lines"]
    assert [(line["code"], line["count"], line["priority"]) for line in lines] == [
        ("erp_auth", 1, "high"), ("no_bill_rate", 499, "normal"),
    ]  # fmt: skip


def test_a_message_says_nothing_about_anybody(clean_store: Engine, mail: MailServer, hook: Receiver) -> None:
    """A name and a salary leave the company by mail."""
    settings = make(mail, hook)
    collect(clean_store, settings)
    happen(clean_store, "no_cost_rate")
    collect(clean_store, settings)
    deliver(clean_store, settings)
    [(_, body)] = hook.wait_for(1)
    for text in (mail.arrived[0].as_string(), body.decode()):
        assert "no_cost_rate" in text
        for part in ("Ada", "Lovelace", "123456", "o0", PASSWORD, OLD, NEW):
            assert part not in text


def test_every_live_secret_proves_a_message(clean_store: Engine, hook: Receiver) -> None:
    """Whoever changes a secret misses messages until everybody has changed it."""
    settings = make(hook=hook)
    collect(clean_store, settings)
    happen(clean_store, "erp_auth")
    collect(clean_store, settings)
    deliver(clean_store, settings)
    [(headers, body)] = hook.wait_for(1)
    sent = Delivery(headers=headers, body=body, at=NOW.timestamp())
    for secret in (OLD, NEW):
        assert Signature(scheme=Scheme.STANDARD, secrets=[secret]).proves(sent)
    assert not Signature(scheme=Scheme.STANDARD, secrets=["whsec_b3RoZXI="]).proves(sent)
    assert not Signature(scheme=Scheme.STANDARD, secrets=[NEW]).proves(replace(sent, body=body + b" "))


def test_what_happens_meanwhile_is_the_next_message(clean_store: Engine, hook: Receiver) -> None:
    """A message a minute all night, or what happened after the first one is never told."""
    settings = make(hook=hook, digest_minutes=15)
    collect(clean_store, settings)
    made = []
    for minute in range(31):
        happen(clean_store, "no_bill_rate", scope=f"s{minute}", now=NOW + minute * MINUTE)
        made.append(collect(clean_store, settings, NOW + minute * MINUTE))
    assert [n for n, count in enumerate(made) if count] == [0, 15, 30]
    deliver(clean_store, settings, NOW + 31 * MINUTE)
    counts = [json.loads(body)["data"]["events"] for _, body in hook.wait_for(3)]
    assert counts == [1, 15, 15]


def test_nothing_is_told_twice(clean_store: Engine, hook: Receiver) -> None:
    """Every restart, and every round, tells everybody everything again."""
    settings = make(hook=hook, digest_minutes=0)
    collect(clean_store, settings)
    happen(clean_store, "no_bill_rate")
    assert [collect(clean_store, settings) for _ in range(3)] == [1, 0, 0]
    assert len(deliver(clean_store, settings)) == 1
    assert deliver(clean_store, settings, NOW + dt.timedelta(days=1)) == []
    happen(clean_store, "no_bill_rate")
    assert collect(clean_store, settings) == 0


def test_a_process_that_dies_between_sending_and_marking_repeats_the_number(
    clean_store: Engine, hook: Receiver
) -> None:
    """A receiver could not tell a repetition from a second message, or the message is lost."""
    settings = make(hook=hook)
    collect(clean_store, settings)
    happen(clean_store, "erp_auth")
    collect(clean_store, settings)
    deliver(clean_store, settings)
    with clean_store.begin() as connection:
        connection.execute(update(notification).values(sent_at=None))
    assert deliver(clean_store, settings, NOW + MINUTE) == []
    assert len(deliver(clean_store, settings, NOW + 3 * MINUTE)) == 1
    assert len({headers["webhook-id"] for headers, _ in hook.wait_for(2)}) == 1


def test_a_message_that_is_not_taken_is_tried_again(clean_store: Engine, mail: MailServer, hook: Receiver) -> None:
    """A mail server restarts, and what happened in that minute stays unknown."""
    settings = make(mail, hook)
    collect(clean_store, settings)
    happen(clean_store, "erp_auth")
    collect(clean_store, settings)
    mail.busy, hook.refuse = 2, 2
    errors = [sent.error for sent in deliver(clean_store, settings)]
    assert errors == ["the mail server answers 451", "answered 503"]
    at, tries = NOW, 0
    while len(mail.arrived) < 1 or len(hook.arrived) < 1:
        at += dt.timedelta(seconds=10)
        tries += len(deliver(clean_store, settings, at))
        assert at < NOW + 10 * MINUTE
    assert tries == 4
    assert at - NOW >= dt.timedelta(seconds=90)


def test_a_mailbox_that_does_not_exist_is_given_up(clean_store: Engine, mail: MailServer) -> None:
    """The outbox fills with what nobody will ever take, and nobody sees it."""
    settings = make(mail, emails=[UNKNOWN, "ops@example.com"])
    collect(clean_store, settings)
    happen(clean_store, "erp_auth")
    collect(clean_store, settings)
    deliver(clean_store, settings)
    assert len(mail.arrived) == 1
    with clean_store.connect() as connection:
        given_up = connection.execute(select(notification.c.error).where(notification.c.given_up_at.is_not(None)))
        assert given_up.scalars().all() == ["the mail server refuses the recipient (550)"]


def test_a_route_hears_what_it_asked_for(clean_store: Engine, hook: Receiver) -> None:
    """Finance is woken for an API key, or engineers never hear of it."""
    settings = make(
        hook=hook, classes=["auth", "data"], legal_entities=["UK"], events=["exception_opened"], at_least="normal"
    )
    collect(clean_store, settings)
    happen(clean_store, "no_bill_rate", "no_tax_profile", entity="UK")
    happen(clean_store, "no_bill_rate", scope="other", entity="US")
    happen(clean_store, "erp_unreachable", "erp_auth", scope="erp", entity="UK")
    assert collect(clean_store, settings) == 1
    deliver(clean_store, settings)
    [(_, body)] = hook.wait_for(1)
    assert {(line["code"], line["legal_entity"]) for line in json.loads(body)["data"]["lines"]} == {
        ("no_bill_rate", "UK"), ("erp_auth", "UK"),
    }  # fmt: skip


def test_overdue_waiting_plans_differences_and_a_broken_log_are_events(clean_store: Engine, hook: Receiver) -> None:
    """Something becomes late, waits for an approval or was tampered with, and nobody is told."""
    settings = make(hook=hook, digest_minutes=0)
    collect(clean_store, settings)
    happen(clean_store, "plan_awaits_approval", "erp_auth")
    happen(clean_store, "posting_drift", scope="reconciliation:US:2026-09")
    with clean_store.begin() as connection:
        connection.execute(
            insert(audit_verification).values(
                tenant=settings.tenant, verified_at=NOW, holds=False, leaves=1, checkpoints=1, problems=[]
            )
        )
    collect(clean_store, settings)
    collect(clean_store, settings, NOW + dt.timedelta(hours=5))
    deliver(clean_store, settings, NOW + dt.timedelta(hours=5))
    [(_, first), (_, second)] = hook.wait_for(2)
    assert {line["event"] for line in json.loads(first)["data"]["lines"]} == {
        "exception_opened", "plan_waiting", "unexplained_difference", "audit_log_broken",
    }  # fmt: skip
    [overdue] = json.loads(second)["data"]["lines"]
    assert (overdue["event"], overdue["code"], overdue["priority"]) == ("exception_overdue", "erp_auth", "urgent")


def test_a_collection_that_fails_has_told_nobody_and_forgotten_nothing(
    clean_store: Engine, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies after the position of a route moved and before its message was there."""
    settings = make(hook=hook)
    collect(clean_store, settings)
    happen(clean_store, "erp_auth")
    with monkeypatch.context() as dying:
        dying.setattr(rows, "put_position", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            collect(clean_store, settings)
    assert deliver(clean_store, settings) == []
    assert collect(clean_store, settings) == 1


def test_what_people_are_told_is_kept_for_a_while(clean_store: Engine, hook: Receiver) -> None:
    """The outbox grows for ever, with people's addresses in it."""
    settings = make(hook=hook)
    collect(clean_store, settings)
    happen(clean_store, "erp_auth")
    collect(clean_store, settings)
    deliver(clean_store, settings)
    for after, left in ((dt.timedelta(days=89), 1), (dt.timedelta(days=91), 0)):
        with clean_store.begin() as connection:
            rows.forget(connection, settings.tenant, NOW + after - notifications.KEPT)
            assert connection.execute(select(func.count()).select_from(notification)).scalar_one() == left


def test_a_trial_reaches_everybody_and_names_what_is_wrong(mail: MailServer, hook: Receiver) -> None:
    """Somebody sets notifications up, and learns on the day that they do not arrive."""
    settings = make(mail, hook)
    assert [sent.error for sent in notifications.send_test(settings, now=NOW)] == [None, None]
    assert "a test" in mail.arrived[0]["Subject"]
    wrong = settings.model_copy(update={"secrets": {"PSA_ERP_MAIL": SecretStr("wrong")}})
    first, second = notifications.send_test(wrong, now=NOW)
    assert first.error == "the mail server refuses the user or the password (535)"
    assert second.error is not None
    assert "PSA_ERP_HOOKS is missing" in second.error
    with pytest.raises(NoRouteError, match="no route 'finance': on-call"):
        notifications.send_test(settings, now=NOW, route="finance")


def test_a_server_that_cannot_prove_who_it_is_gets_no_password(mail: MailServer, tmp_path: Path) -> None:
    """Somebody in between reads the password and every message."""
    settings = make(mail).notifications.mail
    assert isinstance(settings, MailSettings)
    stranger = settings.model_copy(update={"ca_file": None})
    with pytest.raises(NotTakenError, match="no encrypted connection"):
        send_mail(stranger, PASSWORD, to="ops@example.com", subject="s", text="t", number="n", at=NOW)
    assert mail.arrived == []
