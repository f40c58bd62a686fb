"""Charts of marts in Dagster's metadata: what is drawn, and that each is of a mart that exists."""

import base64
import re
from decimal import Decimal
from xml.etree import ElementTree

import duckdb
import pytest

from psa_erp_assets.adapters.duck_sql import FUNCTIONS
from psa_erp_assets.adapters.sql_models import load_models
from psa_erp_assets.contracts.lake_tables import LAKE_TABLES
from psa_erp_assets.defs.charts import CHARTS, MOST_BARS, Chart, drawn
from psa_erp_assets.settings import SQL_MODELS

PLAIN = Chart(title="Margin", sql="")


def picture(text: str) -> ElementTree.Element:
    found = re.search(r"\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)$", text)
    assert found is not None
    return ElementTree.fromstring(base64.b64decode(found[1]))


def test_bars_are_as_long_as_their_values_and_losses_are_seen() -> None:
    """A loss would look like a gain, or half as much like as much."""
    text = drawn(PLAIN, [("2026-09", Decimal("1000.00")), ("2026-10", Decimal(-500))]).value
    drawing = picture(text)
    bars = drawing.findall("{*}rect")
    assert [bar.get("width") for bar in bars] == ["280", "140"]
    assert bars[0].get("fill") != bars[1].get("fill")
    assert "![2026-09: 1,000; 2026-10: -500]" in text, "who sees no pictures reads the figures"


def test_labels_cannot_break_out_of_the_picture() -> None:
    """A contract's name would be markup in the UI."""
    text = drawn(PLAIN, [('<b>"x"]&', Decimal(1))]).value
    assert "".join(picture(text).itertext()).startswith('<b>"x"]&')
    assert text.count("]") == 1


def test_many_bars_are_cut_and_zero_is_no_error() -> None:
    """A year and more would fill the screen, or a quiet month would fail the build."""
    text = drawn(PLAIN, [(f"m{n}", Decimal(0)) for n in range(MOST_BARS + 3)]).value
    assert len(picture(text).findall("{*}rect")) == MOST_BARS
    assert "the last 12 of 15" in text
    assert "m14" in text
    shares = drawn(Chart(title="Utilization", sql="", percent=True), [("2026-09", Decimal("0.8125"))]).value
    assert "81.2 %" in shares or "81.3 %" in shares


@pytest.fixture(scope="module")
def columns() -> duckdb.DuckDBPyConnection:
    """The marts, empty, with the columns and types that their YAML gives them."""
    connection = duckdb.connect()
    for statement in FUNCTIONS:
        connection.execute(statement)
    for model in load_models(SQL_MODELS, LAKE_TABLES.values()):
        names = ", ".join(f'"{column.name}" {column.type}' for column in model.columns)
        connection.execute(f'CREATE TABLE "{model.name}" ({names})')
    return connection


@pytest.mark.parametrize("model", CHARTS)
def test_each_chart_is_of_its_mart(model: str, columns: duckdb.DuckDBPyConnection) -> None:
    """A renamed column would fail the mart's own build, which has nothing wrong with it."""
    found = columns.execute(CHARTS[model].sql)
    assert [column[0] for column in found.description or ()] == ["label", "value"]
    assert model in CHARTS[model].sql
