"""The documentation of the reporting store in the console: what it shows, how it is searched."""

import threading
from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import Engine

from psa_erp_assets.console import models as models_page
from psa_erp_assets.services.reporting import models
from psa_erp_assets_tests.support.console import HOSTILE, make_app, served


@pytest.fixture
def console(store_engine: Engine) -> Iterator[str]:
    # Read once a process; the page would say for some seconds that it is being read.
    models()
    with served(make_app(store_engine)) as address:
        yield address


def test_every_model_is_there_and_a_search_finds_a_column(console: str) -> None:
    """Whoever looks for a figure would not learn that a mart has it, or what it means."""
    everything = httpx.get(f"{console}/models", timeout=60).text
    assert 'id="mart_dso"' in everything
    assert 'id="stg_invoices"' in everything
    found = httpx.get(f"{console}/models", params={"search": "count-back dso"}, timeout=60).text
    assert 'id="mart_dso"' in found
    assert 'id="stg_invoices"' not in found
    assert "fct_invoice.open_entity_amount" in found, "a column must say where it comes from"


def test_a_program_reads_the_same(console: str) -> None:
    """A catalog of the company's data would have to read the page."""
    [dso] = httpx.get(f"{console}/api/v1/models", params={"search": "count-back dso"}, timeout=60).json()
    assert (dso["name"], dso["layer"], dso["grain"]) == ("mart_dso", "marts", ["legal_entity"])
    assert {c["name"]: c["type"] for c in dso["columns"]}["dso_count_back"] == "DECIMAL(18,2)"


def test_a_search_without_a_hit_says_so_and_shows_nothing_foreign(console: str) -> None:
    """What somebody puts into a link would run on the page."""
    answer = httpx.get(f"{console}/models", params={"search": HOSTILE[:200]}, timeout=60)
    assert answer.status_code == 200
    assert "No model has all of these words" in answer.text
    assert "<script>" not in answer.text


def test_a_server_reads_the_models_before_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens the page first would wait for seconds; or the worker would not end with the server."""
    stop = threading.Event()
    monkeypatch.setattr(models_page, "_AHEAD_SECONDS", 0.01)
    worker = threading.Thread(target=models_page.read_ahead, args=(stop,))
    worker.start()
    worker.join(0.5)
    assert worker.is_alive(), "a worker that ends makes the server unhealthy"
    stop.set()
    worker.join(10)
    assert not worker.is_alive()
