"""How a lake table becomes a pandera schema: exact columns and types from the table, rules from its stage's module.

What belongs here: the base that all stages share. What does not: a stage's rules, which stand in its own module.
Values are checked as Python objects, so that a decimal is a Decimal and a float is found wherever it hides.
"""

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pandas as pd
import pandera.pandas as pa
import pyarrow

from psa_erp_assets.contracts.lake_tables import LakeTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What a stage promises about a table's rows.

    `expected_dirt` says that rows which break it are the business's to clear; otherwise only a mistake of the sync
    breaks it. `columns` are those that show a failing row, all of them if empty; `next_step` says of a failing row
    what to do about it.
    """

    name: str
    description: str
    table: LakeTable
    schema: pa.DataFrameSchema
    expected_dirt: bool = False
    columns: Sequence[str] = ()
    next_step: Callable[[Mapping[str, Any]], str] | None = None


def each_row(rule: str, holds: Callable[[pd.DataFrame], "pd.Series[bool]"]) -> pa.Check:
    """A rule over whole rows, in words that show when it is broken. `holds` has one truth value a row."""
    return pa.Check(holds, name=rule, error=rule, ignore_na=False)


def together(frame: pd.DataFrame, *columns: str) -> "pd.Series[bool]":
    """Where these columns are all there or all missing, such as an amount and its currency."""
    there = frame[list(columns)].notna()
    return there.all(axis=1) | ~there.any(axis=1)


def table_schema(
    table: LakeTable,
    *,
    unique: Sequence[str] = (),
    checks: Sequence[pa.Check] = (),
    accepted: Mapping[str, Collection[str]] | None = None,
) -> pa.DataFrameSchema:
    """The schema of a lake table: no other columns, each of its type, nulls only where the table allows them.

    `accepted` maps a column to the values that it may have.
    """
    choices = dict(accepted or {})
    return pa.DataFrameSchema(
        {
            field.name: pa.Column(
                object,
                checks=[
                    _is_of(field.type),
                    *([pa.Check.isin(sorted(choices[field.name]))] if field.name in choices else []),
                ],
                nullable=field.nullable,
                required=True,
            )
            for field in table.schema
        },
        checks=list(checks),
        unique=list(unique) or None,
        strict=True,
        name=table.name,
    )


def _is_of(kind: pyarrow.DataType) -> pa.Check:
    """A check that a value is of the Python type that stands for an arrow type."""
    expected: tuple[type, ...]
    types = pyarrow.types
    if types.is_decimal(kind):
        expected = (Decimal,)
    elif types.is_integer(kind):
        expected = (int,)
    elif types.is_boolean(kind):
        expected = (bool,)
    elif types.is_date(kind):
        expected = (dt.date,)
    elif types.is_timestamp(kind):
        expected = (dt.datetime,)
    elif types.is_list(kind):
        expected = (list, tuple)
    else:
        expected = (str,)
    name = expected[0].__name__

    def holds(value: object) -> bool:
        if isinstance(value, bool) and expected == (int,):
            return False
        return isinstance(value, expected)

    return pa.Check(holds, element_wise=True, name=f"is_{name.lower()}", error=f"is a {name}")


def failing_rows(contract: Contract, frame: pd.DataFrame) -> pd.DataFrame:
    """Rows that break the contract, each once, with the rules that it breaks in the column `rule`. Empty if none does.

    A failure of the frame as a whole (a missing or surplus column) is a row without values.
    """
    try:
        contract.schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        cases = errors.failure_cases
    else:
        return pd.DataFrame(columns=["rule", *(contract.columns or contract.table.schema.names)])
    rules: dict[Any, list[str]] = {}
    for case in cases.to_dict("records"):
        index = case["index"]
        of_column = case["schema_context"] == "Column"
        named = f"{case['column']}: {case['check']}" if of_column else str(case["check"])
        known = rules.setdefault(None if pd.isna(index) else index, [])
        if named not in known:
            known.append(named)
    columns = list(contract.columns or contract.table.schema.names)
    shown = [name for name in columns if name in frame.columns]
    rows = [
        {"rule": "; ".join(names)} | ({} if index is None else frame.loc[index, shown].to_dict())
        for index, names in rules.items()
    ]
    if contract.next_step is not None:
        rows = [row | {"next_step": contract.next_step(row)} for row in rows]
        shown.append("next_step")
    return pd.DataFrame(rows, columns=["rule", *shown], dtype=object)
