"""The whole stack for work: stores, console, Dagster, and the demo's world where the settings ask for it."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from psa_erp_assets.cli.output import stderr
from psa_erp_assets.cli.processes import Watched, running_dagster
from psa_erp_assets.cli.serving import running_console
from psa_erp_assets.defs.home import prepare_dagster_home
from psa_erp_assets.sandbox.world import mark_as_demo, running_world, subscribe
from psa_erp_assets.services import sync
from psa_erp_assets.services.refresh import refresh_all
from psa_erp_assets.services.runtime import DAGSTER_DATABASE, open_runtime, prepare, running_server
from psa_erp_assets.settings import Settings, load_settings


@contextmanager
def running_stack(environ: Mapping[str, str]) -> Iterator[tuple[Settings, list[Watched]]]:
    """Everything, for the time of the block. Raises what its parts raise."""
    settings = load_settings(environ)
    with ExitStack() as stack:
        if settings.connections.sandboxes:
            mark_as_demo(settings)
            settings = subscribe(stack.enter_context(running_world(environ, _say)), environ)
        server = stack.enter_context(running_server(settings))
        prepare(server)
        _read_once(settings)
        _say("starting the console")
        stack.enter_context(running_console(settings))
        _say("starting Dagster")
        home, variables = prepare_dagster_home(settings.home / "dagster", server.dagster_url(DAGSTER_DATABASE))
        yield settings, stack.enter_context(running_dagster(settings, home, {**environ, **variables}))


def watch(processes: list[Watched], stop: threading.Event) -> None:
    """Until `stop` is set; raises ProcessError as soon as one of the processes has ended."""
    while not stop.wait(1):
        for process in processes:
            process.check()


def _read_once(settings: Settings) -> None:
    """The first read of an empty store, so that there is something to see; schedules read from then on."""
    with open_runtime(settings) as runtime:
        if not sync.all_partitions(runtime):
            _say("reading master data and time for the first time")
            refresh_all(runtime)
            sync.sweep(runtime, complete=True)


def _say(what: str) -> None:
    stderr.print(f"{what} …", highlight=False)
