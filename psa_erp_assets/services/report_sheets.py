"""Reports and rows as tables of a file: titles, columns and rows, whatever the form of the file is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psa_erp_assets.services.report_model import Column, Report, Section


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A table of a file: what it is, the columns and the rows."""

    title: str
    note: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]


def sheets_of(report: Report) -> list[Sheet]:
    """A report's figures and sections as tables."""
    figures = Sheet(
        title="Figures",
        note="",
        columns=(
            Column(name="label", label="Figure"),
            Column(name="of", label="Of"),
            Column(name="value", label="Value", unit="number"),
            Column(name="currency", label="Currency"),
            Column(name="previous", label="Period before", unit="number"),
        ),
        rows=[
            {
                "label": figure.label,
                "of": value.label,
                "value": value.value,
                "currency": value.currency,
                "previous": value.previous,
            }
            for figure in report.figures
            for value in figure.values
        ],
    )
    return [figures, *(sheet_of(section) for section in report.sections)]


def sheet_of(section: Section) -> Sheet:
    """A section as a table, with its currencies in columns of their own."""
    return Sheet(title=section.title, note=section.note, columns=with_currencies(section.columns), rows=section.rows)


def with_currencies(columns: Iterable[Column]) -> list[Column]:
    """The columns, each amount's currency behind the last amount that is in it."""
    found = list(columns)
    named = {column.name for column in found}
    for currency in dict.fromkeys(column.currency for column in found if column.unit == "money"):
        if currency not in named:
            last = max(at for at, column in enumerate(found) if column.unit == "money" and column.currency == currency)
            found.insert(last + 1, Column(name=currency, label="Currency"))
    return found
