"""Reports and rows as files: CSV, XLSX and PDF. No cell is a formula, and numbers stay numbers."""

import csv
import datetime as dt
import io
import logging
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pymupdf_fonts

from psa_erp_assets.adapters.reporting_file import Reader
from psa_erp_assets.services.report_filters import Filters
from psa_erp_assets.services.report_model import Column, Report, Section
from psa_erp_assets.services.report_rows import RowSource, all_of, totals_of
from psa_erp_assets.services.report_text import heading, shown
from psa_erp_assets.services.spreadsheets import cell

Form = Literal["csv", "xlsx", "pdf"]

MEDIA: Mapping[Form, str] = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pdf": "application/pdf",
}
MOST_ROWS: Mapping[Form, int] = {"csv": 1_000_000, "xlsx": 100_000, "pdf": 2_000}
"""As many rows as a file of each form takes; more are refused, and never left out without a word."""

# What XML cannot hold, and with it no cell of a workbook.
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_NOT_IN_TITLE = re.compile(r"[\[\]:*?/\\]")
_CELL_LENGTH, _TITLE_LENGTH = 32_767, 31
_LEFT = ("text", "code", "month", "date")
_QUIET, _INK, _FILL = (87, 99, 93), (26, 33, 30), (238, 241, 239)


class TooManyRowsError(ValueError):
    """There are more rows than a file of this form takes."""


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
    return Sheet(title=section.title, note=section.note, columns=_with_currencies(section.columns), rows=section.rows)


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
    return Sheet(title=source.title, note="", columns=_with_currencies(source.columns), rows=found)


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
    """Tables as a workbook, one a sheet, after one that says what they are about.

    Numbers have the fifteen digits that spreadsheets calculate with.
    """
    from openpyxl import Workbook  # noqa: PLC0415 - it takes long, and few ask for it

    book = Workbook(write_only=True)
    titles: set[str] = set()
    first = book.create_sheet(_title("About", titles))
    for line in about:
        first.append([_written(first, line)])
    for sheet in sheets:
        page = book.create_sheet(_title(sheet.title, titles))
        page.freeze_panes = "A2"
        for number, column in enumerate(sheet.columns, start=1):
            page.column_dimensions[_letter(number)].width = 28 if column.unit == "text" and number == 1 else 17
        page.append([_written(page, column.label, strong=True) for column in sheet.columns])
        for row in sheet.rows:
            page.append([_written(page, row.get(column.name), unit=column.unit) for column in sheet.columns])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def to_pdf(title: str, about: Sequence[str], sheets: Sequence[Sheet]) -> bytes:
    """Tables as a document of A4 pages, with a font that has Latin, Greek and Cyrillic letters."""
    from fpdf import FPDF, FontFace  # noqa: PLC0415 - it takes long, and few ask for it

    class Document(FPDF):
        """Pages with their number at the foot."""

        def footer(self) -> None:
            """The number of the page."""
            self.set_y(-12)
            self.set_font("noto", size=7.5)
            self.set_text_color(*_QUIET)
            self.cell(0, 5, f"{title}, page {self.page_no()} of {{nb}}", align="R")

    # What it has to say about a table that only hints to rasterizers is of no use to anybody.
    logging.getLogger("fontTools.subset").setLevel(logging.ERROR)
    pdf = Document(orientation="landscape", format="A4")
    pdf.set_title(title)
    pdf.set_lang("en-US")
    pdf.set_margins(12, 12)
    pdf.set_auto_page_break(auto=True, margin=15)
    with tempfile.TemporaryDirectory() as folder:
        for style, name in (("", "notos"), ("B", "notosbo")):
            path = Path(folder) / f"{name}.ttf"
            path.write_bytes(pymupdf_fonts.myfont(name))
            pdf.add_font("noto", style, path)
        pdf.add_page()
        pdf.set_text_color(*_INK)
        pdf.set_font("noto", "B", 16)
        pdf.cell(0, 9, title, new_x="LMARGIN", new_y="NEXT")
        pdf.set_font("noto", size=8.5)
        pdf.set_text_color(*_QUIET)
        for line in about:
            pdf.multi_cell(0, 4.5, _printable(line), new_x="LMARGIN", new_y="NEXT")
        for sheet in sheets:
            columns = [column for column in sheet.columns if not _repeats(column, sheet.columns)]
            pdf.ln(4)
            pdf.set_text_color(*_INK)
            pdf.set_font("noto", "B", 11)
            if pdf.will_page_break(24):
                pdf.add_page()
            pdf.cell(0, 7, sheet.title, new_x="LMARGIN", new_y="NEXT")
            pdf.set_font("noto", size=7.5)
            if not sheet.rows:
                pdf.cell(0, 6, "Nothing in this period.", new_x="LMARGIN", new_y="NEXT")
                continue
            with pdf.table(
                col_widths=tuple(3 if column.unit in ("text", "code") else 2 for column in columns),
                text_align=tuple("LEFT" if column.unit in _LEFT else "RIGHT" for column in columns),
                headings_style=FontFace(emphasis="BOLD", fill_color=_FILL),
                borders_layout="HORIZONTAL_LINES",
                line_height=4.6,
                padding=0.6,
            ) as table:
                table.row([_printable(column.label) for column in columns])
                for row in sheet.rows:
                    table.row([_printable(shown(column, row)) for column in columns])
        return bytes(pdf.output())


def about_report(report: Report) -> list[str]:
    """What a file of a report says about itself."""
    return [report.title, *heading(report.filters, report.published_at)]


def about_rows(source: RowSource, filters: Filters, published_at: dt.datetime) -> list[str]:
    """What a file of rows says about itself."""
    return [source.title, *heading(filters, published_at)]


def _with_currencies(columns: Iterable[Column]) -> list[Column]:
    """The columns, each amount's currency behind the last amount that is in it."""
    found = list(columns)
    named = {column.name for column in found}
    for currency in dict.fromkeys(column.currency for column in found if column.unit == "money"):
        if currency not in named:
            last = max(at for at, column in enumerate(found) if column.unit == "money" and column.currency == currency)
            found.insert(last + 1, Column(name=currency, label="Currency"))
    return found


def _repeats(column: Column, columns: Sequence[Column]) -> bool:
    """Whether a column is a currency that the amounts beside it are printed with."""
    return column.label == "Currency" and any(one.unit == "money" and one.currency == column.name for one in columns)


def _written(page: Any, value: object, *, unit: str = "text", strong: bool = False) -> Any:
    """A cell of a workbook: a number as one, everything else as a text that is no formula."""
    from openpyxl.cell import WriteOnlyCell  # noqa: PLC0415 - it takes long, and few ask for it
    from openpyxl.styles import Font  # noqa: PLC0415

    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        made = WriteOnlyCell(page)
        made.value = value
        made.number_format = {"money": "#,##0.00", "share": "0.0%", "days": "0.0"}.get(unit, "General")
        return made
    text = _NO_XML.sub("\ufffd", cell(value))[:_CELL_LENGTH]
    made = WriteOnlyCell(page, value=text)
    # openpyxl would take a text that begins with an equals sign for a formula.
    made.data_type = "s"
    if strong:
        made.font = Font(bold=True)
    return made


def _title(text: str, taken: set[str]) -> str:
    """A sheet's title as a workbook allows it, once."""
    base = _NOT_IN_TITLE.sub(" ", text)[:_TITLE_LENGTH].strip("' ") or "Sheet"
    title, number = base, 2
    while title.lower() in taken:
        title, number = f"{base[: _TITLE_LENGTH - 4]} {number}", number + 1
    taken.add(title.lower())
    return title


def _letter(number: int) -> str:
    from openpyxl.utils import get_column_letter  # noqa: PLC0415 - it takes long, and few ask for it

    return str(get_column_letter(number))


def _printable(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)
