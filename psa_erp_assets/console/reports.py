"""The reports for executives and finance: pages with charts, the rows behind each number, and files of both."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment

from psa_erp_assets.adapters.reporting_file import NoReportingFileError, Reader, ReportingFileError
from psa_erp_assets.console.access import Viewer
from psa_erp_assets.console.charts import chart_data, left_out, library_address
from psa_erp_assets.console.report_query import ReportQuery, RowsQuery
from psa_erp_assets.console.report_source import ReportSource
from psa_erp_assets.services import report_export as files
from psa_erp_assets.services import report_text
from psa_erp_assets.services.report_filters import Filters, shifted
from psa_erp_assets.services.report_row_sources import SOURCES
from psa_erp_assets.services.report_rows import RowSource, rows
from psa_erp_assets.services.report_sheets import Sheet, sheet_of, sheets_of
from psa_erp_assets.services.reports import (
    REPORTS,
    Definition,
    UnknownFilterError,
    check_rows,
    choices,
    report,
)
from psa_erp_assets.services.trace import NotFoundError

Name = Annotated[str, Path(pattern=r"^[a-z-]{1,40}$", description="Name of the report, such as margin.")]
MartName = Annotated[str, Path(pattern=r"^[a-z_]{1,60}$", description="Name of the mart, such as fct_revenue.")]
SectionName = Annotated[str, Query(pattern=r"^[a-z_]{0,60}$", description="Section; empty for all.")]
_FIRST = "executive"


def definition_of(name: str) -> Definition:
    """A report by its name. Raises NotFoundError."""
    if name not in REPORTS:
        raise NotFoundError(f"there is no report {name!r}")
    return REPORTS[name]


def source_of(name: str) -> RowSource:
    """What a mart's rows are shown as. Raises NotFoundError."""
    if name not in SOURCES:
        raise NotFoundError(f"there are no rows of {name!r} to look at")
    return SOURCES[name]


def reports_router(environment: Environment, source: ReportSource) -> APIRouter:
    """Routes of the pages under /reports. They are left out of the API's description."""
    router = APIRouter(prefix="/reports", default_response_class=HTMLResponse, include_in_schema=False)
    values: Mapping[str, Any] = {
        "reports": REPORTS,
        "library": library_address(),
        "chart_data": chart_data,
        "left_out": left_out,
        "text": report_text.text,
        "shown": report_text.shown,
        "whole": report_text.whole,
        "moved": report_text.moved,
        "limits": report_text.limits,
    }

    def page(template: str, status: int = 200, **more: Any) -> HTMLResponse:
        return HTMLResponse(environment.get_template(template).render({**values, **more}), status)

    def answered(read: Callable[[Reader], Response], filters: Filters, name: str) -> Response:
        try:
            with source.open(filters) as reader:
                return read(reader)
        except NoReportingFileError:
            return page("reports_none.html", name=name, problem=None)
        except ReportingFileError as error:
            return page("reports_none.html", 503, name=name, problem=str(error))
        except (UnknownFilterError, files.TooManyRowsError) as error:
            raise HTTPException(422, f"{error}.".replace("..", ".")) from error

    def show(name: str, filters: Filters) -> Response:
        definition = definition_of(name)

        def read(reader: Reader) -> Response:
            found = report(reader, definition, filters)
            return page(
                "reports_report.html",
                name=name,
                definition=definition,
                report=found,
                choices=choices(reader, definition, filters),
                spans=_spans(found.filters) if definition.has_period else [],
                runs=source.runs(),
            )

        return answered(read, filters, name)

    @router.get("")
    def overview(actor: Viewer, asked: ReportQuery) -> Response:
        return show(_FIRST, asked.filters(actor))

    @router.get("/rows/{mart}")
    def rows_page(actor: Viewer, mart: MartName, asked: RowsQuery) -> Response:
        shown, filters = source_of(mart), asked.filters(actor)

        def read(reader: Reader) -> Response:
            check_rows(shown, filters)
            found = rows(reader, shown, filters, page=asked.page)
            return page("reports_rows.html", name="", found=found, published_at=reader.publication.published_at)

        return answered(read, filters, "")

    @router.get("/rows/{mart}/{form}")
    def rows_file(actor: Viewer, mart: MartName, form: files.Form, asked: RowsQuery) -> Response:
        shown, filters = source_of(mart), asked.filters(actor)

        def read(reader: Reader) -> Response:
            check_rows(shown, filters)
            sheet = files.rows_sheet(reader, shown, filters, form)
            about = files.about_rows(shown, filters, reader.publication.published_at)
            return _file(form, mart, shown.title, about, [sheet])

        return answered(read, filters, "")

    @router.get("/{name}")
    def one(actor: Viewer, name: Name, asked: ReportQuery) -> Response:
        return show(name, asked.filters(actor))

    @router.get("/{name}/{form}")
    def report_file(
        actor: Viewer, name: Name, form: files.Form, asked: ReportQuery, section: SectionName = ""
    ) -> Response:
        definition, filters = definition_of(name), asked.filters(actor)

        def read(reader: Reader) -> Response:
            found = report(reader, definition, filters)
            if section:
                sheets = [sheet_of(one) for one in found.sections if one.name == section]
                if not sheets:
                    raise NotFoundError(f"there is no section {section!r} in this report")
            else:
                sheets = sheets_of(found)
            return _file(form, section or name, found.title, files.about_report(found), sheets)

        return answered(read, filters, name)

    return router


def _file(form: files.Form, name: str, title: str, about: list[str], sheets: list[Sheet]) -> Response:
    match form:
        case "csv":
            content = files.to_csv(sheets)
        case "xlsx":
            content = files.to_xlsx(sheets, about)
        case "pdf":
            content = files.to_pdf(title, about[1:], sheets)
    headers = {"Content-Disposition": f'attachment; filename="{name}.{form}"'}
    return Response(content, media_type=files.MEDIA[form], headers=headers)


def _spans(filters: Filters) -> list[tuple[str, Filters]]:
    """Periods that are often wanted, with a word for each: the same end, or the month next to it."""
    assert filters.last is not None
    return [
        ("Month", filters.ending(1)),
        ("3 months", filters.ending(3)),
        ("12 months", filters.ending(12)),
        ("Month before", filters.ending(1).replace(first=shifted(filters.last, -1), last=shifted(filters.last, -1))),
    ]
