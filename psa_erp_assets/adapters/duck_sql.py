"""What DuckDB takes no parameter for, quoted: names of tables and columns, and the text of comments and paths.

Values go into statements as parameters, always. The modules that build statements out of names are exempt from the
linter's rule against it, in pyproject.toml, on the understanding that every name in them comes through here.
"""

from collections.abc import Mapping
from typing import Literal

# DuckDB divides decimals as floats. These divide whole numbers, rounding half away from zero, and are known to every
# connection that runs models; by nought they give null. `share` has six digits, `inverse` (of a rate) ten.
_PART, _WHOLE = (f"CAST(abs(CAST({name} AS DECIMAL(38, 4))) * 10000 AS HUGEINT)" for name in ("part", "whole"))
_RATE = "CAST(CAST(rate AS DECIMAL(38, 10)) * 10000000000 AS HUGEINT)"
FUNCTIONS = (
    (
        "CREATE OR REPLACE TEMP MACRO share(part, whole) AS CAST(CAST(CAST(sign(part) * sign(whole) AS HUGEINT)"
        f" * (({_PART} * 2000000 + {_WHOLE}) // nullif(2 * {_WHOLE}, 0)) AS DECIMAL(24, 0))"
        " * CAST(0.000001 AS DECIMAL(7, 6)) AS DECIMAL(18, 6))"
    ),
    (
        f"CREATE OR REPLACE TEMP MACRO inverse(rate) AS CAST(CAST((CAST(200000000000000000000 AS HUGEINT) + {_RATE})"
        f" // nullif(2 * {_RATE}, 0) AS DECIMAL(21, 0)) * CAST(0.0000000001 AS DECIMAL(11, 10)) AS DECIMAL(20, 10))"
    ),
)


def identifier(name: str) -> str:
    """A name as SQL takes it, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL takes it."""
    return "'" + text.replace("'", "''") + "'"


def comment_statements(
    name: str, kind: Literal["TABLE", "VIEW"], description: str, columns: Mapping[str, str]
) -> list[str]:
    """The SQL that says what a table or view and its columns mean."""
    target = identifier(name)
    return [
        f"COMMENT ON {kind} {target} IS {literal(description)}",
        *(f"COMMENT ON COLUMN {target}.{identifier(c)} IS {literal(text)}" for c, text in columns.items()),
    ]
