"""What can be measured, and what a measurement comes to."""

import enum
from dataclasses import dataclass


class Part(enum.StrEnum):
    """What can be measured by itself."""

    APPROVAL = "approval"
    PLANNING = "planning"
    RECEIVING = "receiving"
    MARTS = "marts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One measurement. `floor` is what the machine or a peer needs for the same in the same run, where there is one.

    `limit` is what `value` must not exceed; of how many times faster than a peer, what it must exceed.
    """

    name: str
    value: float
    unit: str
    limit: float | None
    floor: float | None = None
    floor_is: str | None = None
