"""All sandboxes as one ASGI app: the vendors under their own paths, and a control panel under `/_sandbox`.

    /clockify/api/v1/…   /hubspot/crm/v3/…   /bamboohr/api/v1/…   /kantata/api/v1/…   /kantata/relay/…
    GET  /_sandbox/stats
    POST /_sandbox/reset
    PUT, DELETE /_sandbox/faults/{vendor}
    DELETE /_sandbox/records/{table}/{id}

The control panel asks for its own bearer key: whoever holds a vendor's key cannot switch faults.
"""

import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from psa_erp_assets.sandbox import bamboohr, clockify_wire, hubspot, kantata, kantata_relay
from psa_erp_assets.sandbox.bamboohr import bamboohr_error, create_bamboohr
from psa_erp_assets.sandbox.clockify import clockify_error, create_clockify
from psa_erp_assets.sandbox.company_model import DemoCompany
from psa_erp_assets.sandbox.faults import Fault, FaultySwitchboard
from psa_erp_assets.sandbox.hubspot import create_hubspot, hubspot_error
from psa_erp_assets.sandbox.kantata import create_kantata, kantata_error
from psa_erp_assets.sandbox.kantata_relay import KantataRelay
from psa_erp_assets.sandbox.state import SandboxState
from psa_erp_assets.sandbox.webhooks import WebhookSender
from psa_erp_assets.sandbox.wire import Clock, Handler, same_secret, utc_now


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxKeys:
    """The credentials of one start. Never shown: they look like a vendor's, and get used like a vendor's."""

    clockify: str = field(repr=False)
    hubspot: str = field(repr=False)
    bamboohr: str = field(repr=False)
    kantata: str = field(repr=False)
    control: str = field(repr=False)

    @classmethod
    def random(cls, given: Mapping[str, str] | None = None) -> "SandboxKeys":
        """Those that are given, and fresh ones for the rest."""
        known = given or {}
        return cls(**{f.name: known.get(f.name) or secrets.token_urlsafe(24) for f in fields(cls)})

    def as_mapping(self) -> dict[str, str]:
        """By vendor, for a secrets file."""
        return {f.name: str(getattr(self, f.name)) for f in fields(self)}


def create_app(
    company: DemoCompany, state_dir: Path | None, api_keys: SandboxKeys, clock: Clock = utc_now
) -> Starlette:
    """The app over the company. With `state_dir` what is changed survives a restart.

    Raises JournalMismatchError if the folder holds the state of another company.
    """
    tables = {
        **clockify_wire.initial_tables(company),
        **hubspot.initial_tables(company),
        **bamboohr.initial_tables(company),
        **kantata.initial_tables(company),
        **kantata_relay.initial_tables(),
    }
    state = SandboxState(tables, state_dir, company.fingerprint)
    sender = WebhookSender()
    relay = KantataRelay(state, api_keys.kantata, sender)
    boards = {
        "clockify": FaultySwitchboard(
            create_clockify(company, state, api_key=api_keys.clockify, sender=sender, clock=clock), clockify_error
        ),
        "hubspot": FaultySwitchboard(
            create_hubspot(state, access_token=api_keys.hubspot, clock=clock, sender=sender), hubspot_error
        ),
        "bamboohr": FaultySwitchboard(create_bamboohr(state, api_key=api_keys.bamboohr, clock=clock), bamboohr_error),
        "kantata": FaultySwitchboard(
            create_kantata(state, access_token=api_keys.kantata, clock=clock, on_event=relay.forward), kantata_error
        ),
    }

    def guarded(handler: Handler) -> Handler:
        async def checked(request: Request) -> Response:
            _, _, key = request.headers.get("authorization", "").partition(" ")
            if not same_secret(key, api_keys.control):
                return JSONResponse({"error": "the control key is needed"}, 401)
            return await handler(request)

        return checked

    async def stats(_: Request) -> Response:
        return JSONResponse({name: b.stats() for name, b in boards.items()} | {"webhooks": sender.stats()})

    async def reset(_: Request) -> Response:
        state.reset()
        for board in boards.values():
            board.switch(None)
        return Response(status_code=204)

    async def faults(request: Request) -> Response:
        board = boards.get(request.path_params["vendor"])
        if board is None:
            return JSONResponse({"error": f"vendor must be one of {', '.join(boards)}"}, 404)
        if request.method == "DELETE":
            board.switch(None)
            return Response(status_code=204)
        try:
            body = json.loads(await request.body())
            board.switch(Fault.from_json(body if isinstance(body, dict) else {}))
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse(board.stats()["fault"])

    async def remove(request: Request) -> Response:
        table, key = request.path_params["table"], request.path_params["id"]
        if table not in tables or state.get(table, key) is None:
            return JSONResponse({"error": "there is no such record"}, 404)
        state.commit([(table, key, None)])
        return Response(status_code=204)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await sender.start()
        try:
            yield
        finally:
            await sender.stop()

    return Starlette(
        lifespan=lifespan,
        routes=[
            Route("/_sandbox/stats", guarded(stats), methods=["GET"]),
            Route("/_sandbox/reset", guarded(reset), methods=["POST"]),
            Route("/_sandbox/records/{table}/{id}", guarded(remove), methods=["DELETE"]),
            Route("/_sandbox/faults/{vendor}", guarded(faults), methods=["PUT", "DELETE"]),
            Mount("/clockify/api", app=boards["clockify"]),
            Mount("/hubspot", app=boards["hubspot"]),
            Mount("/bamboohr", app=boards["bamboohr"]),
            Mount("/kantata/api/v1", app=boards["kantata"]),
            Mount("/kantata/relay", app=relay.app()),
        ],
    )
