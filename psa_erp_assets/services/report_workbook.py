"""Tables as a workbook. No cell is a formula, and numbers stay numbers.

Importing this takes half a second, for openpyxl: `report_export` does so when somebody asks for a workbook.
"""

import io
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter

from psa_erp_assets.services.report_sheets import Sheet
from psa_erp_assets.services.report_text import printable
from psa_erp_assets.services.spreadsheets import cell

_NOT_IN_TITLE = re.compile(r"[\[\]:*?/\\]")
_CELL_LENGTH, _TITLE_LENGTH = 32_767, 31


def workbook(sheets: Sequence[Sheet], about: Sequence[str]) -> bytes:
    """Tables as a workbook, one a sheet, after one that says what they are about.

    Numbers have the fifteen digits that spreadsheets calculate with.
    """
    book = Workbook(write_only=True)
    titles: set[str] = set()
    first = book.create_sheet(_title("About", titles))
    for line in about:
        first.append([_written(first, line)])
    for sheet in sheets:
        page = book.create_sheet(_title(sheet.title, titles))
        page.freeze_panes = "A2"
        for number, column in enumerate(sheet.columns, start=1):
            page.column_dimensions[get_column_letter(number)].width = (
                28 if column.unit == "text" and number == 1 else 17
            )
        page.append([_written(page, column.label, strong=True) for column in sheet.columns])
        for row in sheet.rows:
            page.append([_written(page, row.get(column.name), unit=column.unit) for column in sheet.columns])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _written(page: Any, value: object, *, unit: str = "text", strong: bool = False) -> Any:
    """A cell of a workbook: a number as one, everything else as a text that is no formula."""
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        made = WriteOnlyCell(page)
        made.value = value
        made.number_format = {"money": "#,##0.00", "share": "0.0%", "days": "0.0"}.get(unit, "General")
        return made
    text = printable(cell(value))[:_CELL_LENGTH]
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
