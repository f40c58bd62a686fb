"""Charts of report sections: what the script in /static/reports.js draws with the library that it is served.

The library is plotly.js out of the installed plotly package; it is never copied. Amounts go to the script as texts.
"""

import gzip
import importlib.metadata
import importlib.util
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Response

from psa_erp_assets.console.access import requires
from psa_erp_assets.domain.access import Permission
from psa_erp_assets.services.report_model import Section

_MOST_BARS = 15
"""As many bars as a chart shows side by side; the table beside it has all."""


def library_address() -> str:
    """Where the pages load the library from. It changes with the library, so that browsers may keep it for good."""
    return f"/static/plotly-{importlib.metadata.version('plotly')}.min.js"


def charts_router() -> APIRouter:
    """The route of the library's script."""
    router = APIRouter(dependencies=[Depends(requires(Permission.VIEW))])

    @router.get(library_address(), include_in_schema=False)
    def library(accept_encoding: Annotated[str, Header()] = "") -> Response:
        headers = {"Cache-Control": "private, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
        if "gzip" in accept_encoding:
            return Response(
                _compressed(), media_type="text/javascript", headers={**headers, "Content-Encoding": "gzip"}
            )
        return Response(_library(), media_type="text/javascript", headers=headers)

    return router


def chart_data(section: Section) -> dict[str, Any] | None:
    """What the script draws; None where there is nothing, or amounts of several currencies, which share no axis."""
    chart, rows = section.chart, section.rows
    if chart is None or not rows or len(section.currencies) > 1:
        return None
    shown = rows[:_MOST_BARS] if chart.sideways else rows
    columns = {column.name: column for column in section.columns}
    series = [
        {
            "name": columns[name].label,
            "kind": "line" if name in chart.lines else "bar",
            "unit": columns[name].unit,
            "alarm": name in chart.alarm,
            "values": [_text(row[name]) for row in shown],
            "links": [section.address_of(columns[name], row) for row in shown],
        }
        for name in (*chart.bars, *chart.lines)
    ]
    return {
        "title": section.title,
        "x": [_text(row[chart.x]) or "none" for row in shown],
        "series": series,
        "currency": section.currencies[0] if section.currencies else None,
        "sideways": chart.sideways,
        "stacked": chart.stacked,
        "waterfall": chart.waterfall,
        "totals": list(chart.totals),
    }


def left_out(section: Section) -> int:
    """How many rows a chart of a section does not show."""
    return max(0, len(section.rows) - _MOST_BARS) if section.chart is not None and section.chart.sideways else 0


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _library() -> bytes:
    # The package's folder without importing the package, which takes long.
    spec = importlib.util.find_spec("plotly")
    assert spec is not None
    assert spec.submodule_search_locations
    return (Path(spec.submodule_search_locations[0]) / "package_data" / "plotly.min.js").read_bytes()


@cache
def _compressed() -> bytes:
    return gzip.compress(_library(), 6)
