"""Texts that go into cells of spreadsheets, so that no spreadsheet calculates what somebody else wrote."""

from decimal import Decimal

# What makes a spreadsheet take a cell for a formula, or for the end of a cell before one.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def cell(value: object) -> str:
    """A value as the text of a cell; a text that a spreadsheet would calculate begins with an apostrophe.

    Source: OWASP, "CSV Injection".
    """
    if value is None:
        return ""
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        # A negative number is one, and stays one.
        return str(value)
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) or text.lstrip().startswith(_FORMULA) else text
