"""All master data, kind by kind, and then the entries that the changes touch."""

from collections.abc import Callable

from psa_erp_assets.services.master_data import REFRESHES, Refreshed
from psa_erp_assets.services.runtime import Runtime

OnStep = Callable[[int, int, str], None]


def refresh(runtime: Runtime, name: str) -> Refreshed:
    """Refresh one kind of master data, by its name in `master_data.REFRESHES`."""
    return REFRESHES[name](runtime.engine, runtime.settings, runtime.sources, runtime.clock())


def _silent(_done: int, _total: int, _name: str) -> None:
    """Nobody watches."""


def refresh_all(runtime: Runtime, on_step: OnStep = _silent) -> list[Refreshed]:
    """Refresh every kind; `on_step` is told how many of how many are done and which is next."""
    results = []
    for number, name in enumerate(REFRESHES):
        on_step(number, len(REFRESHES), name)
        results.append(refresh(runtime, name))
    on_step(len(REFRESHES), len(REFRESHES), "done")
    return results
