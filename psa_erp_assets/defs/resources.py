"""The one resource: the services' runtime, opened for a run's process (or a sensor's tick) and closed after it.

It connects on first use. Services are imported when a run needs them, not when the definitions load.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from psa_erp_assets.services.runtime import Runtime
    from psa_erp_assets.settings import Settings

RUNTIME = "runtime"

OpenRuntime = Callable[[], AbstractContextManager["Runtime"]]


def opener(load: Callable[[], Settings]) -> OpenRuntime:
    """Opens a runtime on the settings as they are at that time."""

    def open_now() -> AbstractContextManager[Runtime]:
        from psa_erp_assets.services.runtime import open_runtime  # noqa: PLC0415 - a second, and only runs need it

        return open_runtime(load())

    return open_now


def runtime_resource(open_now: OpenRuntime) -> dg.ResourceDefinition:
    """The resource `runtime`. In an in-process run all steps share one; in a multi-process run each has its own."""

    def opened(_: dg.InitResourceContext) -> Iterator[Runtime]:
        from psa_erp_assets.adapters import logs  # noqa: PLC0415 - only runs need it

        # Below Dagster's own: what the services say goes to the stderr that Dagster keeps of each step.
        logs.configure(logs.OURS)
        with open_now() as runtime:
            yield runtime

    return dg.ResourceDefinition(resource_fn=opened, description="Stores, connectors and clock of the services.")


def runtime_of(context: Any) -> Runtime:
    """The runtime of an asset's, check's, sensor's or schedule's context."""
    runtime: Runtime = context.resources.runtime
    return runtime
