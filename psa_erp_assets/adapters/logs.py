"""The log: one event a line on stderr, as JSON, or as text where stderr is a terminal.

Only what is on the list in `domain.log_events` is written. What this project's modules say by `logging` is written as
they say it, because they are held to say nothing of content. Of a library only who spoke, where, and the class of the
exception is written: its text may hold anything. Known secrets are masked in whatever is left.
"""

import copy
import datetime as dt
import json
import logging
import sys
import traceback
from collections.abc import Iterable
from typing import Any, TextIO

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict

from psa_erp_assets.domain.log_events import LogEvent, allowed

OURS = "psa_erp_assets"
MASK = "***"
# A shorter one would be found in words that have nothing to do with it.
_SHORTEST_SECRET = 6
_FRAMES = 4

_secrets: set[str] = set()


def say(event: LogEvent, *, level: int = logging.INFO, caught: BaseException | None = None, **fields: object) -> None:
    """Write an event with its fields; a field that the event's entry does not name is left out.

    Of an exception that was `caught` its class and its places are written, where the entry has these fields.
    """
    _events.log(level, event.value, caught=caught, **fields)


def hide(secrets: Iterable[str]) -> None:
    """Mask these wherever they appear from now on."""
    _secrets.update(secret for secret in secrets if len(secret) >= _SHORTEST_SECRET)


def configure(name: str = "", *, stream: TextIO | None = None) -> None:
    """Write what this logger and those below it say, once however often it is asked for.

    Without a name everything of the process; libraries from warnings on. `stream` takes the place of stderr.
    """
    logger = logging.getLogger(name)
    if not any(isinstance(handler, _Handler) for handler in logger.handlers):
        logger.addHandler(_Handler(stream))
    terminal = (stream or sys.stderr).isatty()
    logging.getLogger(OURS).setLevel(logging.WARNING if terminal else logging.INFO)


def remove(name: str = "") -> None:
    """Undo `configure`."""
    logger = logging.getLogger(name)
    for handler in [h for h in logger.handlers if isinstance(h, _Handler)]:
        logger.removeHandler(handler)
    logging.getLogger(OURS).setLevel(logging.NOTSET)


class _Handler(logging.Handler):
    """Writes to whatever stderr is at the time."""

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__()
        self._stream = stream
        self._json, self._text = _formatter(_as_json), _formatter(_as_text)

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        stream = self._stream or sys.stderr
        try:
            formatter = self._text if stream.isatty() else self._json
            stream.write(masked(formatter.format(_without_exception(record))) + "\n")
            stream.flush()
        except (OSError, ValueError):
            # Nobody reads it any more; that is no reason to end the work.
            return


def masked(text: str) -> str:
    """The text with every known secret made unreadable."""
    for secret in _secrets:
        for form in {secret, json.dumps(secret)[1:-1]}:
            text = text.replace(form, MASK)
    return text


def _without_exception(record: logging.LogRecord) -> logging.LogRecord:
    """A copy with the exception apart: the formatter would write its text, which may hold anything."""
    quiet = copy.copy(record)
    quiet.caught = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    quiet.exc_info = quiet.exc_text = quiet.stack_info = None
    return quiet


def _formatter(render: Any) -> ProcessorFormatter:
    return ProcessorFormatter(
        foreign_pre_chain=[_spoken],
        processors=[_listed, render],
    )


def _spoken(_: Any, __: str, said: EventDict) -> EventDict:
    """What a module says by `logging`, as an event."""
    record: logging.LogRecord = said["_record"]
    ours = record.name == OURS or record.name.startswith(f"{OURS}.")
    fields: EventDict = {"event": LogEvent.MESSAGE.value, "logger": record.name, "_record": record}
    fields["_from_structlog"] = False
    if ours:
        fields["text"] = said["event"]
    else:
        fields["where"] = f"{record.module}:{record.lineno}"
    return fields


def _listed(_: Any, __: str, said: EventDict) -> EventDict:
    """The event with what is on the list, and where it is from."""
    record: logging.LogRecord = said["_record"]
    event, fields = str(said.get("event")), dict(said)
    error: BaseException | None = fields.get("caught") or getattr(record, "caught", None)
    if error is not None:
        frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
        fields["error"] = type(error).__name__
        fields["where"] = " ".join(f"{_module(frame.filename)}:{frame.lineno}" for frame in frames)
    at = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
    return {"at": at, "level": record.levelname.lower(), "event": event, **allowed(event, fields)}


def _as_json(_: Any, __: str, said: EventDict) -> str:
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def _as_text(_: Any, __: str, said: EventDict) -> str:
    rest = " ".join(f"{name}={value}" for name, value in said.items() if name not in ("at", "level", "event", "text"))
    event = said.get("text") or said["event"]
    return " ".join(part for part in (said["at"][11:19], said["level"], str(event), rest) if part)


def _module(filename: str) -> str:
    place = filename.rfind(f"/{OURS}/")
    return filename[place + 1 :] if place >= 0 else filename.rpartition("/")[2]


_events: structlog.stdlib.BoundLogger = structlog.wrap_logger(
    logging.getLogger(f"{OURS}.events"),
    processors=[structlog.stdlib.filter_by_level, ProcessorFormatter.wrap_for_formatter],
    wrapper_class=structlog.stdlib.BoundLogger,
)
