"""Where reports read from: the published file, or the lake as it stood at an earlier run."""

import contextlib
from collections.abc import Iterator, Sequence

from fastapi import HTTPException

from psa_erp_assets.adapters.reporting_file import Reader, ReportingFile
from psa_erp_assets.domain.report_changes import Change, Measure
from psa_erp_assets.services.as_of import NoSuchRunError, ReportingRun
from psa_erp_assets.services.report_filters import Filters
from psa_erp_assets.services.report_history import ReportHistory
from psa_erp_assets.settings import OperatorError


class ReportSource:
    """What the routes of reports read: `file` now, `history` before."""

    def __init__(self, file: ReportingFile, history: ReportHistory | None = None) -> None:
        self._file, self._history = file, history

    @contextlib.contextmanager
    def open(self, filters: Filters) -> Iterator[Reader]:
        """A reader as of the run that the filters ask for.

        Raises HTTPException 404 for no such run, 410 for one whose state is gone, and ReportingFileError.
        """
        with contextlib.ExitStack() as stack:
            with _refusing():
                opened = self._file.open() if filters.run is None else self._past().open(filters.run)
                reader = stack.enter_context(opened)
            yield reader

    def runs(self) -> Sequence[ReportingRun]:
        """The runs that can be chosen, the latest first."""
        return () if self._history is None else self._history.runs()

    def changes(
        self, before: int, after: int, *, legal_entity: str | None, month: str | None, measure: Measure | None
    ) -> Sequence[Change]:
        """What differs between two runs, by cause. Raises HTTPException 404 and 410, and ReportingFileError."""
        with _refusing():
            return self._past().changes(before, after, legal_entity=legal_entity, month=month, measure=measure)

    def _past(self) -> ReportHistory:
        if self._history is None:
            raise NoSuchRunError("there has been no reporting run here")
        return self._history


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except NoSuchRunError as error:
        raise HTTPException(404, f"{error}.") from error
    except OperatorError as error:
        raise HTTPException(410, str(error)) from error
