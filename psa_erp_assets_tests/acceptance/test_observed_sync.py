"""A whole sync into a real Tryton, observed: no secret leaves by any way, and every way tells the same."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from psa_erp_assets.adapters import logs
from psa_erp_assets.adapters.otlp import SpanSink
from psa_erp_assets.sandbox.actors import Actors, actors_at
from psa_erp_assets.sandbox.company_model import RequestState
from psa_erp_assets.sandbox.serve import SandboxServer, running_sandbox
from psa_erp_assets.sandbox.tryton.build import Kind
from psa_erp_assets.services import tracing
from psa_erp_assets.services.figures import Figures
from psa_erp_assets_tests.support.small_company import small_company
from psa_erp_assets_tests.support.sync import Open
from psa_erp_assets_tests.support.tryton import MakeTryton
from psa_erp_assets_tests.support.webhook_receiver import webhook_receiver

pytestmark = pytest.mark.tryton


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with running_sandbox(small_company(per_contract=3)) as server:
        yield server


@pytest.fixture(scope="module")
def people(sandbox: SandboxServer) -> Iterator[Actors]:
    with actors_at(sandbox) as actors:
        yield actors


def test_a_sync_says_what_it_did_and_no_secret(
    sandbox: SandboxServer, people: Actors, make_tryton: MakeTryton, open_company: Open
) -> None:
    """An API key, a password or a person's name stands in the log of every sync."""
    company = open_company(sandbox, make_tryton(Kind.COMPANION))
    runtime = company.runtime
    figures = Figures(runtime.engine, runtime.scope, runtime.clock)
    figures.read()
    with webhook_receiver() as collector, SpanSink(collector.url, tenant=runtime.settings.tenant) as sink:
        tracing.export(runtime.engine, sink, runtime.settings.tenant, now=runtime.clock())
        everything, root = io.StringIO(), logging.getLogger()
        raw = logging.StreamHandler(everything)
        before = root.level
        root.addHandler(raw)
        root.setLevel(logging.DEBUG)
        stream = io.StringIO()
        logs.configure(stream=stream)
        try:
            for request in people.requests_in(RequestState.PENDING):
                people.decide(request["approvalRequest"]["id"], RequestState.APPROVED)
            done = company.sync()
            company.reconciled()
        finally:
            root.setLevel(before)
            root.removeHandler(raw)
            logs.remove()
        assert done["create"] > 0
        later = runtime.clock() + tracing.SETTLES
        assert tracing.export(runtime.engine, sink, runtime.settings.tenant, now=later) > 0
        traced = b"".join(body for _, body in collector.arrived)
    written = stream.getvalue()
    events = {json.loads(line)["event"] for line in written.splitlines()}
    assert {"sweep_done", "plan_applied", "postings_sent", "reconciled"} <= events
    exposed = repr(figures.read())
    secrets = [s.get_secret_value() for s in runtime.settings.secrets.values()]
    names = [f"{person.first_name} {person.last_name}" for person in sandbox.company.people]
    assert len(secrets) > 3
    assert names
    for value in secrets:
        if len(value) >= 8:
            # Not even a library at its most talkative, which nobody would let near a file.
            assert value not in everything.getvalue()
            assert value not in written
            assert value.encode() not in traced
            assert value not in exposed
    for name in names:
        assert name not in written
        assert name.encode() not in traced
        assert name not in exposed
