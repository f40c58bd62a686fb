"""Tables as a document of A4 pages.

Importing this takes a second, for fpdf2: `report_export` does so when somebody asks for a document.
"""

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pymupdf_fonts
from fpdf import FPDF, FontFace

from psa_erp_assets.services.report_model import Column
from psa_erp_assets.services.report_sheets import Sheet
from psa_erp_assets.services.report_text import printable, shown

_QUIET, _INK, _FILL = (87, 99, 93), (26, 33, 30), (238, 241, 239)


class _Pages(FPDF):
    """Pages with the title and their number at the foot."""

    def footer(self) -> None:
        """The number of the page."""
        self.set_y(-12)
        self.set_font("noto", size=7.5)
        self.set_text_color(*_QUIET)
        self.cell(0, 5, f"{self.title}, page {self.page_no()} of {{nb}}", align="R")


def document(title: str, about: Sequence[str], sheets: Sequence[Sheet]) -> bytes:
    """Tables as a document of A4 pages, with a font that has Latin, Greek and Cyrillic letters."""
    # What it has to say about a table that only hints to rasterizers is of no use to anybody.
    logging.getLogger("fontTools.subset").setLevel(logging.ERROR)
    pdf = _Pages(orientation="landscape", format="A4")
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
            pdf.multi_cell(0, 4.5, printable(line), new_x="LMARGIN", new_y="NEXT")
        for sheet in sheets:
            _add(pdf, sheet)
        return bytes(pdf.output())


def _add(pdf: FPDF, sheet: Sheet) -> None:
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
        return
    with pdf.table(
        col_widths=tuple(3 if column.unit in ("text", "code") else 2 for column in columns),
        text_align=tuple("RIGHT" if column.is_number else "LEFT" for column in columns),
        headings_style=FontFace(emphasis="BOLD", fill_color=_FILL),
        borders_layout="HORIZONTAL_LINES",
        line_height=4.6,
        padding=0.6,
    ) as table:
        table.row([printable(column.label) for column in columns])
        for row in sheet.rows:
            table.row([printable(shown(column, row)) for column in columns])


def _repeats(column: Column, columns: Sequence[Column]) -> bool:
    """Whether a column is a currency that the amounts beside it are printed with."""
    return column.label == "Currency" and any(one.unit == "money" and one.currency == column.name for one in columns)
