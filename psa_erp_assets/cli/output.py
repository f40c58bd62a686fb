"""How commands speak: results to stdout (tables, or JSON), progress and errors to stderr, failure as an exit code."""

import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import OperationalError

from psa_erp_assets.adapters.connectors.tryton.rpc import TrytonError
from psa_erp_assets.adapters.http import SourceError
from psa_erp_assets.adapters.postgres import PostgresError
from psa_erp_assets.domain.erp import LookUpFailedError
from psa_erp_assets.services.accounts import AccessRefusedError
from psa_erp_assets.services.credits import CreditRefusedError
from psa_erp_assets.services.exception_work import WorkRefusedError
from psa_erp_assets.services.mapping_proposals import MappingNotFoundError, MappingRefusedError
from psa_erp_assets.services.period_choices import ChoiceRefusedError
from psa_erp_assets.services.plan_review import ReviewRefusedError
from psa_erp_assets.services.planning import PlanNeedsApprovalError, PlanNotFoundError, PlanOvertakenError
from psa_erp_assets.services.trace import NotFoundError
from psa_erp_assets.settings import ConfigError, OperatorError

stdout = Console()
stderr = Console(stderr=True)

# What can go wrong in ways that an operator can do something about: the message, and what to try.
_EXPECTED: Sequence[tuple[type[Exception], str]] = (
    (ConfigError, "Correct the settings; `psa-erp config check` tells when they are right."),
    (OperatorError, "Put it right and run the command again; what was done stays done."),
    (PostgresError, "Look at the log in data/postgres, or set PSA_ERP_DATABASE_URL to a server that runs."),
    (OperationalError, "PostgreSQL does not answer: is it running, and is PSA_ERP_DATABASE_URL right?"),
    (SourceError, "Is the source system up, and are its address and key right? Nothing was changed."),
    (TrytonError, "Is the ERP up, and are its address and user right? Nothing was lost; the next run goes on."),
    (LookUpFailedError, "Is the ERP up? Nothing was lost; the next run goes on."),
    (PlanOvertakenError, "Run `psa-erp plan` again and apply the new plan."),
    (PlanNotFoundError, "`psa-erp plan list` prints the plans with their ids."),
    (PlanNeedsApprovalError, "Look at it with `psa-erp plan show ID`; `psa-erp plan approve ID` approves it."),
    (ReviewRefusedError, "`psa-erp plan list` says who made each plan, and where it stands."),
    (AccessRefusedError, "`psa-erp users list` and `psa-erp tokens list` show what there is. Nothing was changed."),
    (CreditRefusedError, "`psa-erp trace ENTRY` shows what of it was billed. Nothing was changed."),
    (ChoiceRefusedError, "`psa-erp periods` lists what waits, and for which period. Nothing was changed."),
    (WorkRefusedError, "`psa-erp exceptions show NUMBER` says where it stands. Nothing was changed."),
    (MappingRefusedError, "`psa-erp mappings list` shows what is proposed and decided. Nothing was changed."),
    (MappingNotFoundError, "`psa-erp mappings list` prints proposals and decisions with their ids."),
    (NotFoundError, "Give the id as the PSA shows it, or as `psa-erp exceptions` prints it."),
)


def print_json(body: Any) -> None:
    """One JSON document, amounts as strings."""
    sys.stdout.write(json.dumps(body, indent=2, default=str, ensure_ascii=False) + "\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str) -> None:
    """A table; numbers are set to the right. `empty` is said instead of a table without rows."""
    cells = [[_text(value) for value in row] for row in rows]
    kinds = [list(values) for values in zip(*rows, strict=False)] if isinstance(rows, list) else []
    if not cells:
        stdout.print(f"[bold]{title}[/bold]: {empty}")
        return
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for index, column in enumerate(columns):
        numeric = bool(kinds) and all(isinstance(v, int | Decimal) and not isinstance(v, bool) for v in kinds[index])
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        # Text, so that a key in brackets is not taken for markup.
        table.add_row(*map(Text, row))
    stdout.print(table)


def hours(minutes: int) -> str:
    """Minutes as hours and minutes, such as 1,234:05."""
    sign = "-" if minutes < 0 else ""
    return f"{sign}{abs(minutes) // 60:,}:{abs(minutes) % 60:02d}"


def progress() -> Progress:
    """A progress bar on stderr."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=stderr,
    )


@contextmanager
def explained() -> Iterator[None]:
    """Turn what can be expected to go wrong into a message, a next step and exit code 1."""
    try:
        yield
    except tuple(kind for kind, _ in _EXPECTED) as error:
        advice = next(text for kind, text in _EXPECTED if isinstance(error, kind))
        fail(_first_lines(error), advice)


def fail(message: str, advice: str) -> NoReturn:
    """Say what went wrong and what to do, and end the command with exit code 1."""
    stderr.print(f"[bold red]error:[/bold red] {message}", highlight=False)
    stderr.print(advice, highlight=False)
    raise typer.Exit(1)


def quiet_libraries() -> None:
    """Keep the chatter of libraries out of the terminal; warnings and errors stay."""
    for name in ("httpx", "httpcore", "alembic", "dagster", "uvicorn", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.WARNING)


def emit(as_json: bool, body: Callable[[], Any], tables: Callable[[], None]) -> None:
    """Print a result the way that was asked for."""
    if as_json:
        print_json(body())
    else:
        tables()


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value:,}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _first_lines(error: Exception) -> str:
    """A driver's message repeats the statement and its parameters; the first line says what is wrong."""
    return str(error) if isinstance(error, OperatorError) else str(error).partition("\n")[0]
