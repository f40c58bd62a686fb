"""Small charts in the metadata of marts: bars as an SVG picture that Dagster shows within Markdown.

The drawing is made of whole numbers. Its colors are of a middle tone, as the page behind it may be light or dark, and
its figures are also the picture's alternative text.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from psa_erp_assets.adapters.lake import Lake

MOST_BARS = 12
_ROW, _LABEL, _BAR, _VALUE = 22, 150, 280, 110
_WIDTH = _LABEL + _BAR + _VALUE
_LONGEST_LABEL = 22
_MORE, _LESS, _TEXT = "#4c8dd6", "#d9776a", "#7b8794"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A SELECT of `label` and `value`, in the order of the bars. `percent` values are fractions."""

    title: str
    sql: str
    percent: bool = False


CHARTS: Mapping[str, Chart] = {
    "mart_margin": Chart(
        title="Margin by month, group currency",
        sql="SELECT service_month AS label, sum(group_margin_amount) AS value FROM mart_margin GROUP BY 1 ORDER BY 1",
    ),
    "mart_wip_by_contract_month": Chart(
        title="Unbilled work at the month's end, group currency",
        sql="SELECT service_month AS label, sum(group_closing_amount) AS value FROM mart_wip_by_contract_month"
        " GROUP BY 1 ORDER BY 1",
    ),
    "mart_utilization_by_employee_month": Chart(
        title="Billable utilization by month",
        sql="SELECT service_month AS label, share(sum(billable_minutes), sum(available_minutes)) AS value"
        " FROM mart_utilization_by_employee_month GROUP BY 1 ORDER BY 1",
        percent=True,
    ),
    "mart_revenue_leakage": Chart(
        title="Leakage by reason, group currency",
        sql="SELECT reason AS label, sum(group_amount) AS value FROM mart_revenue_leakage GROUP BY 1 ORDER BY 2 DESC",
    ),
    "mart_reconciliation_summary": Chart(
        title="Entries by class of difference",
        sql="SELECT difference AS label, sum(entries) AS value FROM mart_reconciliation_summary"
        " GROUP BY 1 ORDER BY 2 DESC",
    ),
    "mart_dso": Chart(
        title="Days sales outstanding, count-back, by entity",
        sql="SELECT legal_entity AS label, dso_count_back AS value FROM mart_dso ORDER BY 1",
    ),
    "mart_sync_health": Chart(
        title="Exception rate by entity and month",
        sql="SELECT legal_entity || ' ' || service_month AS label, exception_rate AS value FROM mart_sync_health"
        " WHERE exception_rate IS NOT NULL ORDER BY service_month, legal_entity",
        percent=True,
    ),
    "mart_cycle_time_by_month": Chart(
        title="Minutes from approval to draft, median",
        sql="SELECT legal_entity || ' ' || service_month AS label, approval_to_draft_minutes_p50 AS value"
        " FROM mart_cycle_time_by_month WHERE drafted_lines > 0 ORDER BY service_month, legal_entity",
    ),
}


def of(lake: "Lake", model: str) -> dict[str, dg.MarkdownMetadataValue]:
    """The chart of a mart as metadata; nothing where it has none, or no row."""
    chart = CHARTS.get(model)
    if chart is None:
        return {}
    rows = lake.query(chart.sql).to_pylist()
    bars = [(str(row["label"]), Decimal(row["value"])) for row in rows if row["value"] is not None]
    return {"chart": drawn(chart, bars)} if bars else {}


def drawn(chart: Chart, bars: Sequence[tuple[str, Decimal]]) -> dg.MarkdownMetadataValue:
    """The bars as Markdown with a picture in it; of more than fit, the last ones, which are the latest months."""
    shown = bars[-MOST_BARS:]
    told = [(label, _said(value, percent=chart.percent), value) for label, value in shown]
    picture = base64.b64encode(_svg(told).encode()).decode()
    # Brackets would end the alternative text.
    words = "; ".join(f"{label}: {said}" for label, said, _ in told).replace("[", "(").replace("]", ")")
    left = f" (the last {len(shown)} of {len(bars)})" if len(bars) > len(shown) else ""
    return dg.MetadataValue.md(f"**{chart.title}**{left}\n\n![{words}](data:image/svg+xml;base64,{picture})")


def _svg(bars: Sequence[tuple[str, str, Decimal]]) -> str:
    most = max(abs(value) for _, _, value in bars) or Decimal(1)
    drawing = []
    for number, (label, said, value) in enumerate(bars):
        top, width = number * _ROW, int(abs(value) * _BAR / most)
        name = label if len(label) <= _LONGEST_LABEL else f"{label[: _LONGEST_LABEL - 1]}…"
        color = _LESS if value < 0 else _MORE
        drawing.append(
            f'<text x="{_LABEL - 8}" y="{top + 15}" text-anchor="end" fill="{_TEXT}">{escape(name)}</text>'
            f'<rect x="{_LABEL}" y="{top + 4}" width="{max(width, 1)}" height="{_ROW - 8}" rx="2" fill="{color}"/>'
            f'<text x="{_LABEL + width + 8}" y="{top + 15}" fill="{_TEXT}">{escape(said)}</text>'
        )
    height = len(bars) * _ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}"'
        f' font-family="system-ui, sans-serif" font-size="12">{"".join(drawing)}</svg>'
    )


def _said(value: Decimal, *, percent: bool) -> str:
    return f"{value * 100:,.1f} %" if percent else f"{value:,.0f}"
