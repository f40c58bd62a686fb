"""A real HTTP server between a client and a sandbox: it passes requests on, and can change or keep back the answers."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx

from psa_erp_assets_tests.support.scripted_server import Asked, Reply, ScriptedServer, scripted_server

Change = Callable[[Asked, Reply], Reply]


@dataclass(slots=True)
class Relay:
    """Its base URL, and what it does to an answer before it passes it on; nothing to begin with."""

    server: ScriptedServer
    change: Change

    @property
    def url(self) -> str:
        """Where clients connect instead."""
        return self.server.url


@contextmanager
def relay_to(base_url: str) -> Iterator[Relay]:
    """A relay to a server, stopped at the end of the block."""
    with httpx.Client(base_url=base_url, trust_env=False, timeout=60) as client:

        def answer(asked: Asked) -> Reply:
            headers = {name: asked.headers[name] for name in ("authorization", "accept") if name in asked.headers}
            got = client.request(asked.method, asked.path, params=asked.query, headers=headers)
            kept = {"Content-Type": got.headers.get("content-type", "")}
            return relay.change(asked, Reply(status=got.status_code, body=got.content, headers=kept))

        with scripted_server(answer) as server:
            relay = Relay(server, lambda _, reply: reply)
            yield relay


def lacking(path: str, count: int, name: str = "results") -> Change:
    """A list at a path that lacks its first records, as where a page was skipped; what is asked by id is untouched."""

    def change(asked: Asked, reply: Reply) -> Reply:
        if not asked.path.endswith(path) or reply.status != 200:
            return reply
        body: dict[str, Any] = json.loads(reply.body)
        return replace(reply, body=json.dumps(body | {name: body[name][count:]}).encode())

    return change
