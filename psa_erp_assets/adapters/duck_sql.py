"""What DuckDB takes no parameter for, quoted: names of tables and columns, and the text of comments and paths.

Values go into statements as parameters, always. The modules that build statements out of names are exempt from the
linter's rule against it, in pyproject.toml, on the understanding that every name in them comes through here.
"""

from collections.abc import Mapping
from typing import Literal


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
