"""The stamp: what a document carries in plain text so that it can be found, read and traced by people too.

`psa-erp:<key> <service date> <minutes>min`, then free text. It is how a stock Tryton, which has no field for an
outside identity, is searched for a key.

Three types of effect are journal entries, so a stamp may say which form of entry it is on: `0min/recognition`. It
stands in the stamp, and is not told from the journal, because finance can move a draft to another journal: a look-up
would then miss it, and what cannot be found is sent again. A stamp without one is on a billing line or a cost
transaction, as all were when there was nothing else, and free text always comes after a space, so that none can be
mistaken for it.
"""

import datetime as dt
import re
from dataclasses import dataclass
from typing import Self

_PREFIX = "psa-erp:"
_FORM = re.compile(
    re.escape(_PREFIX) + r"(?P<key>[0-9a-zA-Z-]+) (?P<date>\d{4}-\d{2}-\d{2}) (?P<minutes>-?\d+)min"
    r"(?:/(?P<form>[a-z_]+))?\b"
)
_SAFE_KEY = re.compile(r"[0-9a-zA-Z-]+")


@dataclass(frozen=True, slots=True)
class Stamp:
    """The identity of a document, with its service date and minutes. Raises ValueError for a key it cannot carry.

    `form` is the form of a journal entry, or empty.
    """

    key: str
    date: dt.date
    minutes: int
    form: str = ""

    def __post_init__(self) -> None:
        _refuse_unsafe(self.key)

    def __str__(self) -> str:
        form = f"/{self.form}" if self.form else ""
        return f"{_PREFIX}{self.key} {self.date.isoformat()} {self.minutes}min{form}"

    @classmethod
    def parse(cls, text: str | None) -> Self | None:
        """The stamp at the start of `text`; None where there is none that can be read."""
        match = _FORM.match(text or "")
        if match is None:
            return None
        try:
            return cls(match["key"], dt.date.fromisoformat(match["date"]), int(match["minutes"]), match["form"] or "")
        except ValueError:
            return None


def search_pattern(key: str) -> str:
    """An SQL LIKE pattern for the texts stamped with `key`. Raises ValueError for a key that LIKE would misread."""
    _refuse_unsafe(key)
    return f"{_PREFIX}{key} %"


def _refuse_unsafe(key: str) -> None:
    if _SAFE_KEY.fullmatch(key) is None:
        raise ValueError("a key is made of letters, digits and hyphens")
