"""The log: what is not on the list is not written, secrets never are, and each line can be read by a program."""

import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.adapters import logs
from psa_erp_assets.domain.log_events import FIELDS, VOCABULARY, LogEvent, allowed
from psa_erp_assets.settings import REPOSITORY


class Stream(io.StringIO):
    """What a process would write; `terminal` says where to."""

    terminal = False

    def isatty(self) -> bool:
        return self.terminal

    def lines(self) -> list[dict[str, Any]]:
        """Every line as a program reads it."""
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def stream() -> Iterator[Stream]:
    found = Stream()
    logs.configure(stream=found)
    yield found
    logs.remove()


def test_an_event_is_one_line_with_its_fields(stream: Stream) -> None:
    """A program that reads the log gives up, or misses the one number that it is for."""
    logs.say(LogEvent.RECONCILED, legal_entity="US", service_month="2026-09", entries=12, unexplained=0)
    logs.say(LogEvent.PLAN_WAITS, level=logging.WARNING, plan=7, legal_entity="UK", service_month="2026-09")
    first, second = stream.lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", first.pop("at"))
    assert first == {
        "level": "info", "event": "reconciled", "legal_entity": "US", "service_month": "2026-09", "entries": 12,
        "unexplained": 0,
    }  # fmt: skip
    assert (second["level"], second["plan"]) == ("warning", 7)


def test_a_field_that_is_not_on_the_list_is_lost(stream: Stream) -> None:
    """Somebody adds a field to help themselves, and a salary is in the log of a company."""
    logs.say(LogEvent.RECONCILED, legal_entity="US", employee="Ada Lovelace", salary="123456.78", payload={"a": 1})
    assert stream.lines()[0].keys() == {"at", "level", "event", "legal_entity"}


@pytest.mark.parametrize(
    "value", ["Ada Lovelace", "a\nb", {"name": "Ada"}, ["x"], 1.5, None, b"x", True, "x" * 201, "workshop; with notes"]
)
def test_a_field_holds_only_what_its_type_says(stream: Stream, value: object) -> None:
    """Text that somebody wrote gets in where a code should stand."""
    logs.say(LogEvent.RECONCILED, legal_entity=value)
    assert "legal_entity" not in stream.lines()[0]


@given(st.sampled_from(LogEvent), st.dictionaries(st.text(max_size=12) | st.sampled_from(sorted(FIELDS)), st.text()))
def test_no_event_has_other_fields_than_its_own(event: LogEvent, fields: dict[str, str]) -> None:
    """One way to say a thing that is not on the list is enough."""
    assert allowed(event, fields).keys() <= set(VOCABULARY[event].fields)
    assert allowed("made_up", fields) == {}


def test_a_library_says_only_who_and_where(stream: Stream) -> None:
    """A driver repeats the parameters of a statement: names, amounts, passwords."""
    library = logging.getLogger("some.library")
    library.warning("parameters: %s", "Ada Lovelace, 123456.78")
    try:
        raise ValueError("salary of Ada: 123456.78")
    except ValueError:
        library.exception("it failed for Ada")
    assert "Ada" not in stream.getvalue()
    assert "123456" not in stream.getvalue()
    first, second = stream.lines()
    assert first["logger"] == "some.library"
    assert second["error"] == "ValueError"
    assert second["where"].startswith("psa_erp_assets_tests/") or "test_logs.py" in second["where"]


def test_the_text_of_an_exception_is_not_written(stream: Stream) -> None:
    """What was refused is quoted by whoever refuses it."""
    try:
        raise RuntimeError("Ada's payload")
    except RuntimeError as error:
        logs.say(LogEvent.WORKER_DIED, level=logging.ERROR, worker="background-0", caught=error)
        logging.getLogger("psa_erp_assets.x").exception("a worker of this project")
    assert "payload" not in stream.getvalue()
    assert [line["error"] for line in stream.lines()] == ["RuntimeError", "RuntimeError"]


def test_a_known_secret_is_masked_wherever_it_appears(stream: Stream) -> None:
    """A module repeats an address with a password in it."""
    logs.hide(["hunter2-and-nothing-else", 'with "quotes" and \\', "short"])
    said = logging.getLogger("psa_erp_assets.x")
    said.warning("at %s", "postgresql://u:hunter2-and-nothing-else@h/d")
    said.warning('it is with "quotes" and \\')
    said.warning("cut it short")
    assert [line["text"] for line in stream.lines()] == ["at postgresql://u:***@h/d", "it is ***", "cut it short"]


def test_people_read_text() -> None:
    """Somebody at a terminal reads JSON."""
    stream = Stream()
    stream.terminal = True
    logs.configure(stream=stream)
    try:
        logs.say(LogEvent.RECONCILED, level=logging.WARNING, legal_entity="US", unexplained=2)
        logs.say(LogEvent.RECONCILED, legal_entity="US", unexplained=0)
        assert re.fullmatch(r"\d\d:\d\d:\d\d warning reconciled legal_entity=US unexplained=2\n", stream.getvalue())
    finally:
        logs.remove()


def test_a_closed_stream_ends_nothing(stream: Stream) -> None:
    """Whoever read the log has gone, and a posting stops in the middle."""
    stream.close()
    logs.say(LogEvent.PLAN_WAITS, plan=1)


def test_the_docs_have_every_event_and_field() -> None:
    """Somebody looks for what a field means and finds nothing."""
    text = (REPOSITORY / "docs" / "observability.md").read_text(encoding="utf-8")
    assert {event for event in VOCABULARY if f"| `{event.value}` |" not in text} == set()
    assert {name for name in FIELDS if f"| `{name}` |" not in text} == set()
    assert set(VOCABULARY) == set(LogEvent)
    assert {name for entry in VOCABULARY.values() for name in entry.fields} == set(FIELDS)
