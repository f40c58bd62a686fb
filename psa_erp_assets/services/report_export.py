"""Reports and rows as files: CSV, XLSX and PDF. No cell is a formula, and numbers stay numbers."""

import csv
import datetime as dt
import io
from collections.abc import Mapping, Sequence
from typing import Literal

from psa_erp_assets.adapters.reporting_file import Reader
from psa_erp_assets.services.report_filters import Filters
from psa_erp_assets.services.report_model import Report
from psa_erp_assets.services.report_rows import RowSource, all_of, totals_of
from psa_erp_assets.services.report_sheets import Sheet, with_currencies
from psa_erp_assets.services.report_text import heading
from psa_erp_assets.services.spreadsheets import cell

Form = Literal["csv", "xlsx", "pdf"]

MEDIA: Mapping[Form, str] = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pdf": "application/pdf",
}
MOST_ROWS: Mapping[Form, int] = {"csv": 1_000_000, "xlsx": 100_000, "pdf": 2_000}
"""As many rows as a file of each form takes; more are refused, and never left out without a word."""


class TooManyRowsError(ValueError):
    """There are more rows than a file of this form takes."""


def rows_sheet(reader: Reader, source: RowSource, filters: Filters, form: Form) -> Sheet:
    """All rows behind a number as a table. Raises TooManyRowsError."""
    most = MOST_ROWS[form]
    total = sum(int(row["rows"]) for row in reader.read(totals_of(source, filters)).dicts())
    if total > most:
        raise TooManyRowsError(
            f"There are {total:,} rows, and a file of this form takes {most:,}. Choose a shorter period or a member"
            + ("." if form == "csv" else ", or take CSV, which holds more.")
        )
    found = reader.read(all_of(source, filters, most)).dicts()
    return Sheet(title=source.title, note="", columns=with_currencies(source.columns), rows=found)


def to_csv(sheets: Sequence[Sheet]) -> bytes:
    """Tables as one CSV file, each below its title; a single one begins with its header. UTF-8 with its mark."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_MINIMAL, lineterminator="\r\n")
    for number, sheet in enumerate(sheets):
        if len(sheets) > 1:
            if number:
                writer.writerow(())
            writer.writerow((cell(sheet.title),))
        writer.writerow(cell(column.label) for column in sheet.columns)
        writer.writerows([cell(row.get(column.name)) for column in sheet.columns] for row in sheet.rows)
    # Without the mark a spreadsheet takes the file for one of its country's old encodings.
    return b"\xef\xbb\xbf" + out.getvalue().encode("utf-8", "replace")


def to_xlsx(sheets: Sequence[Sheet], about: Sequence[str]) -> bytes:
    """Tables as a workbook, one a sheet, after one that says what they are about."""
    from psa_erp_assets.services.report_workbook import workbook  # noqa: PLC0415 - takes long, and few ask for it

    return workbook(sheets, about)


def to_pdf(title: str, about: Sequence[str], sheets: Sequence[Sheet]) -> bytes:
    """Tables as a document of A4 pages, with a font that has Latin, Greek and Cyrillic letters."""
    from psa_erp_assets.services.report_document import document  # noqa: PLC0415 - takes long, and few ask for it

    return document(title, about, sheets)


def about_report(report: Report) -> list[str]:
    """What a file of a report says about itself."""
    return [report.title, *heading(report.filters, report.published_at)]


def about_rows(source: RowSource, filters: Filters, published_at: dt.datetime) -> list[str]:
    """What a file of rows says about itself."""
    return [source.title, *heading(filters, published_at)]
