"""Asset checks: the pandera schema of each boundary, and the invariants that hold between tables.

A check looks at the whole table in the lake, whichever partition a run is about, so that its result is the table's
and not that of whatever ran last. Rows that fail are in its metadata. Blocking is not done here: a check blocks only
its own run, so the gate before posting is state in PostgreSQL.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from psa_erp_assets.defs import presenting
from psa_erp_assets.defs.resources import RUNTIME, runtime_of

if TYPE_CHECKING:
    import pandas as pd

    from psa_erp_assets.contracts.frames import Contract


class _Declared:
    """A contract as the definitions know it: they load without pandera, which takes a second."""

    def __init__(self, name: str, description: str, *, expected_dirt: bool = False) -> None:
        self.name, self.description, self.expected_dirt = name, description, expected_dirt
