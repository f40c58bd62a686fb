"""`psa-erp notify`: try whether messages reach whom they are for."""

from typing import Annotated

import typer

from psa_erp_assets.cli.options import Json
from psa_erp_assets.cli.output import emit, explained, fail, print_table
from psa_erp_assets.services import notifications
from psa_erp_assets.services.plain import to_plain
from psa_erp_assets.services.runtime import now
from psa_erp_assets.settings import load_settings

app = typer.Typer(help="Notifications by e-mail and webhook.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `test` a command of its own while it is the only one."""


@app.command(name="test")
def send(
    route: Annotated[str | None, typer.Option("--route", help="One route of notifications.yaml alone.")] = None,
    as_json: Json = False,
) -> None:
    """Send a message that says that it is a test to everybody whom notifications.yaml names."""
    with explained():
        sent = notifications.send_test(load_settings(), now=now(), route=route)
        rows = [(s.route, s.channel, s.target, s.error or "taken") for s in sent]
        emit(
            as_json,
            lambda: to_plain(sent),
            lambda: print_table("Sent", ("route", "channel", "to", "result"), rows, empty="nothing"),
        )
    failed = sum(s.error is not None for s in sent)
    if failed:
        fail(f"{failed} of {len(sent)} messages were not taken", "docs/observability.md says what each result means.")
