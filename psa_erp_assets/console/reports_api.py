"""The reports for programs: figures, sections and the rows behind them, as JSON under /api/v1/reports."""

import datetime as dt
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypeVar

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel

from psa_erp_assets.adapters.reporting_file import Reader, ReportingFileError
from psa_erp_assets.console.access import Viewer
from psa_erp_assets.console.errors import Problem, Refusal
from psa_erp_assets.console.report_query import ReportQuery, RowsQuery
from psa_erp_assets.console.report_source import ReportSource
from psa_erp_assets.console.reports import MartName, Name, definition_of, source_of
from psa_erp_assets.services.report_filters import Filters
from psa_erp_assets.services.report_model import Column, Figure, Report, Section, Unit
from psa_erp_assets.services.report_rows import Rows, rows
from psa_erp_assets.services.reports import REPORTS, UnknownFilterError, check_rows, report

Cell = str | int | bool | None
"""Amounts and fractions are texts with all their digits; minutes and counts are whole numbers."""

RESPONSES: dict[int | str, dict[str, Any]] = {
    401: {"model": Refusal, "description": "Nobody has signed in, and no token was sent."},
    403: {"model": Refusal, "description": "The account may not look at this legal entity."},
    404: {"model": Refusal, "description": "There is no such report, mart or reporting run."},
    410: {"model": Refusal, "description": "The state of that reporting run has been removed from the lake."},
    422: {"model": Problem, "description": "A filter is not understood, or the report has none of that kind."},
    503: {"model": Refusal, "description": "No reporting file has been published, or it cannot be read."},
}
"""How calls about reports can be refused."""

_T = TypeVar("_T")


class ReportName(BaseModel):
    """A report that can be asked for, and the dimensions that it can be limited by."""

    name: str
    title: str
    about: str
    dimensions: list[str]


class Limits(BaseModel):
    """What the numbers are limited to; months as 2026-09, both counted."""

    first: str | None
    last: str | None
    members: dict[str, str]
    currency: str

    @classmethod
    def of(cls, filters: Filters) -> "Limits":
        """Filters as a body."""
        members = filters.chosen() | dict(filters.exact)
        return cls(first=filters.first, last=filters.last, members=members, currency=filters.currency)


class FigureValue(BaseModel):
    """A number of a figure; `previous` is that of the equally long period before."""

    value: Cell
    currency: str | None
    previous: Cell
    of: str


class FigureBody(BaseModel):
    """A number that matters. `rows` is the address of the rows behind it."""

    name: str
    label: str
    unit: Unit
    values: list[FigureValue]
    note: str
    rows: str

    @classmethod
    def made_of(cls, figure: Figure) -> "FigureBody":
        """A figure as a body."""
        return cls(
            name=figure.name,
            label=figure.label,
            unit=figure.unit,
            values=[
                FigureValue(value=_cell(one.value), currency=one.currency, previous=_cell(one.previous), of=one.label)
                for one in figure.values
            ],
            note=figure.note,
            rows=_for_programs(figure.address),
        )


class ColumnBody(BaseModel):
    """A column: what its values are, and which key of a row has the currency of an amount."""

    name: str
    label: str
    unit: Unit
    currency: str | None

    @classmethod
    def made_of(cls, column: Column) -> "ColumnBody":
        """A column as a body."""
        currency = column.currency if column.unit == "money" else None
        return cls(name=column.name, label=column.label, unit=column.unit, currency=currency)


class SectionBody(BaseModel):
    """A table of a report; `rows` have all columns by name, and ids beside names."""

    name: str
    title: str
    note: str
    columns: list[ColumnBody]
    rows: list[dict[str, Cell]]

    @classmethod
    def made_of(cls, section: Section) -> "SectionBody":
        """A section as a body."""
        return cls(
            name=section.name,
            title=section.title,
            note=section.note,
            columns=[ColumnBody.made_of(column) for column in section.columns],
            rows=[_cells(row) for row in section.rows],
        )


class ReportBody(BaseModel):
    """A report as it was published at an instant."""

    name: str
    title: str
    published_at: dt.datetime
    limits: Limits
    figures: list[FigureBody]
    sections: list[SectionBody]

    @classmethod
    def made_of(cls, found: Report) -> "ReportBody":
        """A report as a body."""
        return cls(
            name=found.name,
            title=found.title,
            published_at=found.published_at,
            limits=Limits.of(found.filters),
            figures=[FigureBody.made_of(figure) for figure in found.figures],
            sections=[SectionBody.made_of(section) for section in found.sections],
        )


class RowsBody(BaseModel):
    """A page of rows, and the sums of all of them by currency. `stories` are the pages that tell each row's story."""

    mart: str
    published_at: dt.datetime
    limits: Limits
    page: int
    pages: int
    total: int
    columns: list[ColumnBody]
    sums: list[dict[str, Cell]]
    rows: list[dict[str, Cell]]
    stories: list[str | None]

    @classmethod
    def made_of(cls, found: Rows, published_at: dt.datetime) -> "RowsBody":
        """Rows as a body."""
        return cls(
            mart=found.source.mart.name,
            published_at=published_at,
            limits=Limits.of(found.filters),
            page=found.page,
            pages=found.pages,
            total=found.total,
            columns=[ColumnBody.made_of(column) for column in found.source.columns],
            sums=[_cells(row) for row in found.sums],
            rows=[_cells(row) for row in found.rows],
            stories=list(found.addresses),
        )


def reports_api_router(source: ReportSource) -> APIRouter:
    """Routes of the API under /api/v1/reports."""
    router = APIRouter(prefix="/api/v1/reports", tags=["reports"], responses=RESPONSES)

    @router.get("", summary="The reports that there are")
    def names(_: Viewer) -> list[ReportName]:
        """Each with its name for the address and the dimensions that it takes."""
        return [
            ReportName(name=one.name, title=one.title, about=one.lead, dimensions=list(one.dimensions))
            for one in REPORTS.values()
        ]

    @router.get("/rows/{mart}", summary="The rows behind a number")
    def read_rows(actor: Viewer, mart: MartName, asked: RowsQuery) -> RowsBody:
        """Fifty a page, with the sums of all; within the legal entities that the account may look at."""
        shown, filters = source_of(mart), asked.filters(actor)

        def read(reader: Reader) -> RowsBody:
            check_rows(shown, filters)
            return RowsBody.made_of(rows(reader, shown, filters, page=asked.page), reader.publication.published_at)

        return _answered(source, filters, read)

    @router.get("/{name}", summary="A report")
    def read_report(actor: Viewer, name: Name, asked: ReportQuery) -> ReportBody:
        """Its figures, with those of the period before, and its sections; of the last month that is over by itself."""
        definition, filters = definition_of(name), asked.filters(actor)
        return _answered(source, filters, lambda reader: ReportBody.made_of(report(reader, definition, filters)))

    return router


def _answered(source: ReportSource, filters: Filters, read: Callable[[Reader], _T]) -> _T:
    try:
        with source.open(filters) as reader:
            return read(reader)
    except UnknownFilterError as error:
        raise HTTPException(422, f"{error}.") from error
    except ReportingFileError as error:
        raise HTTPException(503, str(error), {"Retry-After": "60"}) from error


def _for_programs(address: str) -> str:
    return f"/api/v1{address}"


def _cells(row: Mapping[str, Any]) -> dict[str, Cell]:
    return {name: _cell(value) for name, value in row.items()}


def _cell(value: object) -> Cell:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, Decimal) and value == value.to_integral_value() and value.as_tuple().exponent == 0:
        # A sum of whole numbers, which the engine gives as a decimal without a point.
        return int(value)
    return value.isoformat() if isinstance(value, dt.date | dt.datetime) else str(value)
